"""Networks dealt to several devices: the same numbers as on one."""

import os
import subprocess
import sys

import numpy as np

import lehr

PROGRAM = """
import sys
import numpy as np
from test_devices import arrays, results

found = results()
assert [result.device for result in found] == ["cpu x 4", "cpu x 2", "cpu x 3", "cpu x 3", "cpu x 3"], found
np.savez(sys.argv[1], *[array for result in found for array in arrays(result)])
"""


def results() -> list[lehr.Result]:
    """Of four and of two networks, and of three problems side by side."""
    glass = lehr.solve(lehr.edwards_anderson((4, 5), seed=2), num_steps=20, replicas=4, num_final_samples=8)
    model = lehr.solve(lehr.newman_moore(3), num_steps=10, replicas=2, num_final_samples=8)
    several = [lehr.edwards_anderson((3, 3), seed=seed) for seed in (1, 2, 3)]
    return [glass, model, *lehr.solve(several, num_steps=10, replicas=1, num_final_samples=8)]


def arrays(result: lehr.Result) -> list[np.ndarray]:
    """What a run has left, to be compared."""
    return [result.samples, result.log_probs, result.history.free_energy.values, result.best_spins]


def test_networks_on_several_devices_are_those_of_one(tmp_path):
    environment = {
        **os.environ,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path]),
    }
    file = tmp_path / "found.npz"
    subprocess.run([sys.executable, "-c", PROGRAM, file], env=environment, check=True)
    expected = [array for result in results() for array in arrays(result)]
    with np.load(file) as found:
        assert len(found) == len(expected) == 20
        for name, array in zip(found, expected, strict=True):
            np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-5)
