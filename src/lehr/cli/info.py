"""The command that tells what is installed and active."""

import json
from typing import Annotated, Any

import typer

from lehr._version import __version__


def info(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Show versions, devices, which kernels are active, and the presets."""
    import platform
    from importlib.metadata import version

    import jax

    from lehr import native
    from lehr.preset import PRESETS

    kernels = native.status()
    packages = ("jax", "jaxlib", "equinox", "optax", "numpy", "dimod")
    facts: dict[str, Any] = {
        "version": __version__,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "devices": [f"{device.platform}: {device.device_kind}" for device in jax.devices()],
        "kernels": {"active": "native" if kernels.active else "xla", "reason": kernels.description},
        "presets": {
            name: {"description": preset.description, "settings": preset.settings.to_json()}
            for name, preset in PRESETS.items()
        },
    }
    if as_json:
        print(json.dumps(facts))
        return
    print(f"lehr {facts['version']}, Python {facts['python']}")
    print("packages  " + ", ".join(f"{name} {number}" for name, number in facts["packages"].items()))
    print("devices   " + ", ".join(facts["devices"]))
    print(f"kernels   {facts['kernels']['active']}: {facts['kernels']['reason']}")
    print("presets")
    for name, preset in PRESETS.items():
        print(f"  {name:<14} {preset.description}\n{'':17}{preset.settings.outline}")
