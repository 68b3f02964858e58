"""What a paper says of a run: the paragraph of its methods, citations, a checklist, versions and a container."""

from bmz_export.paper.writing import Written, write_methods

__all__ = ["Written", "write_methods"]
