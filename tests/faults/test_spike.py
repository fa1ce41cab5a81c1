import time
import pytest
from .running import Bench
from .cases import *
@pytest.mark.parametrize("s", [FIRST, THEIRS, AGAIN])
def test_spike(bench, s, capfd):
    t=time.monotonic(); o = bench.clean(s); t1=time.monotonic(); 
    with capfd.disabled():
        print(s, t1-t, dict(o.calls)); print(o.rooms[0]); print(o.run.summary.problems, o.run.state)
