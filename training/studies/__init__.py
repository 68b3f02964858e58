"""Studies: many trainings that answer a question, on one machine or a cluster, and the tables of what came of them."""
