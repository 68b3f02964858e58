"""The report of a study: answers in sentences, tables, figures, and one page that holds them all."""

from training.studies.report.page import write_report

__all__ = ["write_report"]
