"""How this machine is called in locks and in the names of unfinished files."""

from training.util.writing import this_host

HOST = this_host()
IN_NAME = HOST.replace("?", "-")
