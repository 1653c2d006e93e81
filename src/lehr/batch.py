"""Many networks in one compiled program: replicas of one problem, or instances with the same interactions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Int, PyTree

from lehr._types import InputError
from lehr.anneal import State, VariationalAnnealing
from lehr.ansatz.base import Ansatz, with_params
from lehr.engine import Engine, Work
from lehr.problem.base import Problem, stack
from lehr.processes import whole
from lehr.shares import SAMPLES

# Steps of one call of the compiled chunk at most; their records are kept on the device until it returns.
_MOST_STEPS = 256
# Spins that each network draws at once for the final samples; a recurrent ansatz holds some kB of states for each.
_MOST_SPINS = 2**18


class Batch(Engine):
    """`num_problems * replicas` independent networks, trained side by side; with two branches as many again, which
    pass the schedule on its way back.

    What moves from step to step (parameters, optimiser, keys, best states) carries a leading axis: all that go down
    before all that go up, and each problem-major; the tables of the ansatz are shared, and so are the coefficients
    where there is one problem. Network r of R replicas has the key `fold_in(key(seed), r)` for every problem, and
    `fold_in(key(seed), R + r)` on the way back, so under the same schedule a problem's result does not depend on its
    company.

    Where there are several devices, and `jax.default_device` names none, the networks are dealt to as many of them as
    divides their number, and the samples of each network to as many of those left for it as divides `num_samples`, if
    the ansatz divides them (`lehr.shares`). In several processes (`lehr.processes`) as many devices of each are used,
    and a network stays in one process.
    """

    most_steps, record_every = _MOST_STEPS, 1

    def __init__(
        self,
        annealing: VariationalAnnealing,
        ansatz: Ansatz,
        problems: list[Problem],
        *,
        replicas: int,
        num_final_samples: int,
        seed: int,
        branches: int = 1,
        description: str = "",
    ):
        self.annealing = annealing
        self.ansatz = ansatz
        self.description = description
        self.num_steps = annealing.schedule.num_steps
        self.replicas, self.branches = replicas, branches
        self._num_spins, self._num_final_samples = problems[0].num_spins, num_final_samples
        several = len(problems) > 1
        problem = stack([p for p in problems for _ in range(replicas)] * branches) if several else problems[0].bare()
        num_samples = annealing.num_samples if ansatz.divides_samples else 1
        mesh, count = _mesh(branches * len(problems) * replicas, num_samples), jax.process_count()
        self._fixed = (annealing, ansatz, problem, 0 if several else None, mesh)
        parts = ("" if mesh is None else f" x {mesh.size}", f" in {count} processes" if count > 1 else "")
        self.device = jax.devices()[0].device_kind + "".join(parts)
        root = jax.random.key(seed)
        branch, _, replica = np.indices((branches, len(problems), replicas)).reshape(3, -1)
        self._keys = jax.vmap(lambda r: jax.random.fold_in(root, r))(jnp.asarray(branch * replicas + replica))
        self._upward = jnp.asarray(branch > 0)

    def start(self) -> PyTree:
        """What moves, before the first step."""
        return _start(*self._fixed, self._keys, self._upward)

    def compile(self, moving: PyTree) -> None:
        """Compile the chunk of steps, which JAX keeps for every run of the same shapes, by taking none."""
        jax.block_until_ready(_advance(*self._fixed, moving, jnp.zeros((), int)))

    def advance(self, moving: PyTree, num_steps: int) -> tuple[PyTree, dict[str, np.ndarray]]:
        """Take up to `most_steps` steps; the records of `Info`, [num_steps, networks] each."""
        moving, infos = _advance(*self._fixed, moving, jnp.asarray(num_steps, int))
        records = {name: values[:, :num_steps].T for name, values in vars(whole(infos)).items()}
        return moving, records

    def draw(self, moving: PyTree) -> tuple[np.ndarray, np.ndarray]:
        """Final samples of every network, in portions of bounded memory."""
        wanted = self._num_final_samples
        portion = max(1, min(wanted, _MOST_SPINS // self._num_spins))
        numbers = range(-(-wanted // portion))
        portions = [whole(_draw(*self._fixed, moving, jnp.asarray(number), portion)) for number in numbers]
        spins, log_prob = (np.concatenate(parts, axis=1) for parts in zip(*portions, strict=True))
        return spins[:, :wanted], log_prob[:, :wanted]

    def work(self, num_steps: int) -> Work:
        """Samples of all steps and at the end; the flipped copies of a transverse field are not counted."""
        samples = self.branches * self.replicas * (num_steps * self.annealing.num_samples + self._num_final_samples)
        return Work(num_steps, samples, samples * self._num_spins)

    def temperature(self, num_steps: int) -> float | None:
        """That of the schedule; in a transverse field p is not a Boltzmann distribution."""
        controls = self.annealing.schedule(num_steps)
        return None if controls.temperature is None or controls.field is not None else float(controls.temperature)

    def fault(self, moving: PyTree, records: dict[str, np.ndarray]) -> tuple[int, str] | None:
        """The first step whose free energy, gradient or (at the end of the chunk) parameters are not finite."""
        finite = np.isfinite(records["free_energy"]) & np.isfinite(records["gradient_norm"])
        if not finite.all():
            first, network = np.argwhere(~finite)[0]
            found = ", ".join(
                f"{name.replace('_', ' ')} {records[name][first, network]}" for name in ("free_energy", "gradient_norm")
            )
            return int(first), f"network {network}: {found}"
        sound = whole(_finite_networks(moving.ansatz))
        if sound.all():
            return None
        return len(finite) - 1, f"network {int(sound.argmin())}: its update made the parameters non-finite"


def _mesh(num_networks: int, num_samples: int) -> Mesh | None:
    """The devices that share the networks evenly, and along the second axis the samples of each, as many of every
    process; None for one, or where the caller chose one.

    Errors: `InputError` where the networks cannot be dealt to all processes.
    """
    if jax.config.jax_default_device is not None:  # pyright: ignore[reportAttributeAccessIssue]
        return None
    processes = range(jax.process_count())
    if num_networks % len(processes):
        raise InputError(
            f"Argument `replicas` must make the number of networks a multiple of the {len(processes)} processes, "
            f"but there are {num_networks} networks."
        )
    devices = [jax.local_devices(process) for process in processes]
    most = min(map(len, devices))
    number = _largest_divisor(num_networks // len(processes), most)
    shares = _largest_divisor(num_samples, most // number)
    chosen = np.array([device for own in devices for device in own[: number * shares]])
    return None if chosen.size == 1 else Mesh(chosen.reshape(-1, shares), ("networks", SAMPLES))


def _largest_divisor(number: int, most: int) -> int:
    return max(size for size in range(1, most + 1) if number % size == 0)


@jax.jit
def _finite_networks(params: PyTree) -> Bool[Array, " networks"]:
    """Whether all parameters of each network are finite; on the device, for they may be many."""
    leaves = [jnp.isfinite(leaf).reshape(leaf.shape[0], -1).all(1) for leaf in jax.tree.leaves(params)]
    return jnp.stack(leaves).all(0)


def _moving(state: State) -> PyTree:
    """The part of a state that steps change; the rest is None."""
    return eqx.tree_at(
        lambda s: (s.problem, s.ansatz),
        state,
        (None, state.ansatz.params),
        is_leaf=lambda x: x is None,
    )


def _whole(moving: PyTree, ansatz: Ansatz, problem: Problem) -> State:
    return eqx.tree_at(
        lambda s: (s.problem, s.ansatz),
        moving,
        (problem, with_params(ansatz, moving.ansatz)),
        is_leaf=lambda x: x is None,
    )


@eqx.filter_jit
def _start(annealing, ansatz, problem, axis, mesh, keys, upward):
    def start(moving, problem):
        return _moving(annealing.init(problem, ansatz, *moving))

    return _mapped(start, axis, mesh, together=True)((keys, upward), problem)


@eqx.filter_jit
def _advance(annealing, ansatz, problem, axis, mesh, moving, num_steps: Int[Array, ""]):
    def step(moving, problem):
        state, info = annealing.step(_whole(moving, ansatz, problem))
        return _moving(state), info

    def steps(moving, problem):
        shapes = jax.eval_shape(step, moving, problem)[1]
        records = jax.tree.map(lambda leaf: jnp.zeros((_MOST_STEPS, *leaf.shape), leaf.dtype), shapes)

        def body(i, carry):
            moving, records = carry
            moving, info = step(moving, problem)
            return moving, jax.tree.map(lambda record, value: record.at[i].set(value), records, info)

        return jax.lax.fori_loop(0, num_steps, body, (moving, records))

    # The flipped copies of a transverse field fill the memory that they may take: one network after the other, and all
    # its steps at once, so that its parameters stay where they are.
    together = annealing.schedule.field is None and (ansatz.side_by_side or jax.default_backend() != "cpu")
    return _mapped(steps, axis, mesh, together=together)(moving, problem)


@eqx.filter_jit
def _draw(annealing, ansatz, problem, axis, mesh, moving, number: Int[Array, ""], num_samples: int):
    def one(moving, problem):
        state = _whole(moving, ansatz, problem)
        key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), number)
        spins, log_prob = annealing.final_samples(state, key, num_samples)
        return spins.astype(jnp.int8), log_prob

    return _mapped(one, axis, mesh, together=False)(moving, problem)


def _mapped(function, axis: int | None, mesh: Mesh | None, *, together: bool):
    """`function(moving, problem)` for every network, all at once or one after the other, on each device for its own;
    what it returns must be the same on all devices that divide the samples of a network."""

    def alone(moving, problem):
        if together:
            return jax.vmap(function, in_axes=(0, axis))(moving, problem)
        if axis is None:
            return jax.lax.map(lambda one: function(one, problem), moving)
        return jax.lax.map(lambda one: function(*one), (moving, problem))

    if mesh is None:
        return alone
    own = P("networks")
    return jax.shard_map(alone, mesh=mesh, in_specs=(own, P() if axis is None else own), out_specs=own, check_vma=False)
