"""Grids of tasks: each is done once, kept whole, tried twice, and never lost in silence."""

import numpy as np
import pytest
import xarray as xr

from lehr import InputError
from lehr._netcdf import read_dataset, write_dataset
from lehr.tasks import TaskError, attempt, run_tasks

AXES = {"letter": ["b c", "a"], "number": [3, 1, 2]}


class Measure:
    """Answers that depend on both axes, and a record of the calls; raises at a point as often as it is told."""

    def __init__(self, failing=None, times=0, error=ValueError):
        self.calls, self.failing, self.times, self.error = [], failing, times, error

    def __call__(self, letter, number):
        self.calls.append((letter, number))
        if (letter, number) == self.failing and self.times > 0:
            self.times -= 1
            raise self.error("first line\nsecond line")
        return xr.Dataset({"value": 10.0 * len(letter) + number, "curve": ("t", np.arange(2) * number)})


def run(folder, measure, axes=AXES, spec=None, steps=None, **options):
    report = (lambda step: None) if steps is None else steps.append
    return run_tasks(axes, measure, folder, spec or {"study": 1}, report=report, **options)


def test_answers_stand_where_they_belong(tmp_path):
    steps = []
    measure = Measure()
    data, failures = run(tmp_path, measure, steps=steps)
    assert failures == []
    assert data["value"].dims == ("letter", "number")
    assert data["letter"].values.tolist() == ["b c", "a"]
    assert data["value"].sel(letter="a", number=2) == 12
    np.testing.assert_array_equal(data["value"], [[33, 31, 32], [13, 11, 12]])
    np.testing.assert_array_equal(data["curve"].sel(letter="b c")[:, 1], [3, 1, 2])
    assert (data["task_seconds"] > 0).all()
    assert measure.calls[:3] == [("b c", 3), ("b c", 1), ("b c", 2)]
    assert [(step.number, step.total) for step in steps] == [(k, 6) for k in range(1, 7)]
    assert steps[0].point == {"letter": "b c", "number": 3}
    assert steps[-1].seconds_left == 0


def test_a_second_call_repeats_nothing(tmp_path):
    first = run(tmp_path, Measure()).data
    again = Measure()
    steps = []
    assert run(tmp_path, again, steps=steps).data.identical(first)
    assert (again.calls, steps) == ([], [])


def test_interrupted_tasks_go_on(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Measure(("a", 3), 1, KeyboardInterrupt))
    measure, steps = Measure(), []
    data = run(tmp_path, measure, steps=steps).data
    assert measure.calls == [("a", 3), ("a", 1), ("a", 2)]
    assert [step.number for step in steps] == [4, 5, 6]
    np.testing.assert_array_equal(data["value"], [[33, 31, 32], [13, 11, 12]])


def test_more_values_of_an_axis_go_on(tmp_path):
    run(tmp_path, Measure(), axes={**AXES, "number": [1]})
    measure = Measure()
    run(tmp_path, measure, axes={**AXES, "number": [2, 1]})
    assert measure.calls == [("b c", 2), ("a", 2)]


def test_a_task_that_fails_once_is_tried_again(tmp_path):
    measure = Measure(("a", 1), 1)
    steps = []
    data, failures = run(tmp_path, measure, steps=steps)
    assert failures == []
    assert measure.calls.count(("a", 1)) == 2
    assert data["value"].sel(letter="a", number=1) == 11
    assert all(step.failure is None for step in steps)


def test_a_task_that_fails_twice_is_told_and_tried_by_the_next_call(tmp_path):
    measure, steps = Measure(("a", 1), 99), []
    data, failures = run(tmp_path, measure, steps=steps)
    assert measure.calls.count(("a", 1)) == 2
    assert len(measure.calls) == 7
    assert failures == [({"letter": "a", "number": 1}, "ValueError: first line second line")]
    assert [step.failure is not None for step in steps] == [False] * 4 + [True, False]
    np.testing.assert_array_equal(data["value"], [[33, 31, 32], [13, np.nan, 12]])
    assert np.isnan(data["curve"].sel(letter="a", number=1)).all()
    again = Measure()
    assert run(tmp_path, again).failures == []
    assert again.calls == [("a", 1)]


def test_an_engine_may_end_tasks_in_any_order(tmp_path):
    def backwards(measure, points):
        for place in reversed(range(len(points))):
            yield attempt(measure, points[place], place)

    run(tmp_path, Measure(), axes={**AXES, "number": [1]})
    measure, steps = Measure(("b c", 2), 99), []
    data, failures = run(tmp_path, measure, steps=steps, engine=backwards)
    assert measure.calls == [("a", 2), ("a", 3), ("b c", 2), ("b c", 2), ("b c", 3)]
    assert [step.number for step in steps] == [3, 4, 5, 6]
    assert [point for point, _ in failures] == [{"letter": "b c", "number": 2}]
    np.testing.assert_array_equal(data["value"], [[33, 31, np.nan], [13, 11, 12]])


def test_nothing_but_failures_is_an_error(tmp_path):
    with pytest.raises(TaskError, match=r"All 1 tasks failed, the first by ValueError: first line second line\."):
        run(tmp_path, Measure(("a", 1), 99), axes={"letter": ["a"], "number": [1]})


def test_a_task_killed_while_it_writes_leaves_no_answer(tmp_path, monkeypatch):
    def killed(dataset, path, **options):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(xr.Dataset, "to_netcdf", killed)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, Measure())
    measure = Measure()
    run(tmp_path, measure)
    assert len(measure.calls) == 6


def test_errors_in_one_line(tmp_path):
    run(tmp_path / "one", Measure())
    with pytest.raises(InputError, match="must be free for these tasks, but it holds others"):
        run(tmp_path / "one", Measure(), spec={"study": 2})
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="must be one to write to"):
        run(tmp_path / "file", Measure())
    damaged = next((tmp_path / "one").glob("a-*.nc"))
    damaged.write_bytes(b"not an answer")
    with pytest.raises(InputError, match=damaged.name):
        run(tmp_path / "one", Measure())


def test_an_axis_without_values(tmp_path):
    with pytest.raises(InputError, match=r"`axes` must have values for each axis, but `number` has none\."):
        run(tmp_path / "new", Measure(), axes={**AXES, "number": []})
    assert not (tmp_path / "new").exists()


def test_a_spec_is_what_json_keeps_of_it(tmp_path):
    for sizes in ((3, 4), [3, 4]):
        assert run(tmp_path, Measure(), spec={"sizes": sizes}).failures == []
    with pytest.raises(InputError, match="must be free for these tasks"):
        run(tmp_path, Measure(), spec={"sizes": (3, 5)})


def test_the_data_can_be_written_with_their_names(tmp_path):
    data = run(tmp_path, Measure(("a", 1), 99)).data
    write_dataset(data, tmp_path / "all.nc")
    with xr.open_dataset(tmp_path / "all.nc", engine="h5netcdf") as found:
        assert found["letter"].values.tolist() == ["b c", "a"]
        np.testing.assert_array_equal(found["value"], data["value"])
    assert read_dataset(tmp_path / "all.nc").equals(data)


def test_names_come_back_as_they_were(tmp_path):
    named = xr.Dataset(
        {"of": ("letter", ["Γ", ""]), "yes": ("letter", [True, False])}, {"letter": ["ä b", "c"]}, {"about": "a\nb"}
    )
    for _ in range(2):
        write_dataset(named, tmp_path / "names.nc")
        found = read_dataset(tmp_path / "names.nc")
        assert found.identical(named)
        assert found["of"].dtype.kind == found["letter"].dtype.kind == "U"
        named = found
