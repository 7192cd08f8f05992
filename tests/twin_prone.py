"""Random memories with many twins: neutral settings, constant gates, special cases."""

from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from miras.memory import Memory

Spec = dict[str, Any]


def legal(spec: Spec) -> Memory:
    """The memory of a spec; hypothesis tries another one if its parts do not fit."""
    try:
        return Memory.model_validate(spec)
    except ValueError:
        assume(False)
        raise


def _number(value: float) -> Spec:
    return {"kind": "constant", "value": value}


def _part(kind: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Spec]:
    return st.fixed_dictionaries({"kind": st.just(kind)}, optional=fields)


_GATES = st.sampled_from(["sigmoid", "recurrent", _number(0.3), _number(0.5), _number(1.0)])
_STEPS = st.one_of(_GATES, st.sampled_from(["complement", "sqrt_complement", "ttt"]))
_AXES = st.sampled_from(["scalar", "key", "value", "both"])
_FEATURES = st.sampled_from(
    ["identity", "silu_l2", "elu1", "complement", "taylor", {"kind": "rope", "period": 1}]
)
_SMOOTHING = st.sampled_from([0.04, 0.1])
_DECAY = {"axis": _AXES, "gate": _GATES, "floor": st.sampled_from([0.0, 0.2])}
_ANCHORS = st.sampled_from(
    [
        {"gradient_at": "retained"},
        {"gradient_at": "previous"},
        *({"gradient_at": "anchor", "chunk": chunk} for chunk in (1, 2, 3)),
    ]
)


def _stepping(kind: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Spec]:
    part = _part(
        kind,
        step=_STEPS,
        step_axis=_AXES,
        every=st.sampled_from([1, 2, 3]),
        scale=st.sampled_from(["none", "chunk", "key_dim"]),
        batch=st.sampled_from([1, 1, 1, 2]),
        read=st.sampled_from(["after", "after", "after", "before"]),
        erase_axis=st.sampled_from(["key", "scalar"]),
        **fields,
    )
    return st.builds(lambda optimizer, anchor: optimizer | anchor, part, _ANCHORS)


def _rare_retention() -> st.SearchStrategy[Spec]:
    """Retention gates with the settings at which they are others."""
    nothing = st.sampled_from([_number(0.0), "sigmoid"])
    return st.one_of(
        _part("elastic_net", threshold=st.sampled_from([0.0, 0.1]), **_DECAY),
        _part("diagonal_plus_rank_one", removal=nothing, **_DECAY),
        _part("gated_reset", gate=nothing, threshold=st.just(0.5)),
        _part("f_divergence", divergence=st.sampled_from(["kl", "chi2"])),
    )


def _rare_optimizer() -> st.SearchStrategy[Spec]:
    """Optimizers with the settings at which they are others."""
    one = st.sampled_from([_number(1.0), "sigmoid"])
    return st.one_of(
        _stepping("delta_gd", closed=st.booleans()),
        _stepping("multi_step", count=st.sampled_from([1, 1, 2]), momentum=st.just("sigmoid")),
        _stepping("preconditioned", base=st.sampled_from([1.0, 1.5])),
        _stepping("trapezoid", lead=one),
        _stepping("gd", erase=one, write=one),
        _part("muon", step=_STEPS, scale=st.sampled_from(["none", "key_dim"]), batch=st.just(8)),
    )


def twin_prone() -> st.SearchStrategy[Spec]:
    """Specs, most of them legal, drawn from the values at which rewrite rules apply."""
    compared = {
        "target": st.sampled_from(["value", "value", "value_minus_key", "self_generated"]),
        "window": st.sampled_from([1, 1, 2]),
    }
    architecture = st.one_of(
        _part(
            "matrix",
            features=_FEATURES,
            normaliser=st.booleans(),
            initial_std=st.sampled_from([0.0, 0.0, 0.5]),
        ),
        _part(
            "vector",
            features=_FEATURES,
            recurrence=st.booleans(),
            reset=st.just("sigmoid"),
            squash=st.booleans(),
        ),
        _part(
            "mlp",
            depth=st.sampled_from([1, 2]),
            norm=st.sampled_from(["none", "layer"]),
            gated=st.booleans(),
            offset=st.booleans(),
        ),
    )
    bias = st.one_of(
        st.just("dot"),
        st.just("l2"),
        _part("dot", **compared),
        _part("l1", smoothing=_SMOOTHING),
        _part(
            "lp",
            p=st.sampled_from([1.0, 2.0, 3.0]),
            smoothing=_SMOOTHING,
            guard=st.booleans(),
            **compared,
        ),
        _part(
            "huber",
            form=st.sampled_from(["coordinate", "norm", "switch"]),
            threshold=st.sampled_from([_number(float("inf")), _number(0.5), "sigmoid"]),
            **compared,
        ),
    )
    retention = st.one_of(
        st.just("none"),
        _part("decay", **_DECAY),
        _part("simplex", **_DECAY),
        _part("lq", q=st.just(2.0), form=st.sampled_from(["paper", "exact"]), **_DECAY),
        _part("lq", q=st.just(1.5), **_DECAY).map(lambda part: part | {"form": "exact"}),
        _rare_retention(),
    )
    optimizer = st.one_of(
        _stepping("gd"),
        _stepping("momentum", momentum=st.sampled_from([_number(0.0), "sigmoid"])),
        _stepping("implicit"),
        _stepping("exact_flow"),
        _rare_optimizer(),
    )
    slots = {"bias": bias, "retention": retention, "optimizer": optimizer}
    return st.fixed_dictionaries({"architecture": architecture}, optional=slots)
