"""What tests on PostgreSQL share."""

import pytest

from miras.benchmarks.postgres import available

needs_postgres = pytest.mark.skipif(not available(), reason="PostgreSQL is not installed")
