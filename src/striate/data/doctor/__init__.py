"""The data doctor: looks at every file of a data set once, lists all that is wrong and changes nothing."""

from striate.data.doctor.check import check
from striate.data.doctor.report import Report

__all__ = ["Report", "check"]
