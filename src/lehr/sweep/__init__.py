"""Sweeps: grids of problems, settings and seeds, one dataset."""

from lehr.sweep.run import Swept as Swept
from lehr.sweep.run import sweep as sweep
from lehr.sweep.spec import Spec as Spec
from lehr.sweep.spec import read_spec as read_spec
from lehr.sweep.statistics import summarise as summarise
from lehr.sweep.table import summary as summary
