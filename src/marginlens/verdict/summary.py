"""Summary of a verdict in self-contained sentences."""

from __future__ import annotations

from marginlens.measures import Measurement
from marginlens.theory import Prediction
from marginlens.verdict.claims import Claim
from marginlens.verdict.premises import Advice, Premise, TrainingFacts
from marginlens.verdict.record import Verdict

__all__ = ["summarize"]

_FALLING = (
    0.05  # of the excess, over the last tenth of the way: less than that is no longer falling
)


def summarize(
    verdict: Verdict, prediction: Prediction, measured: Measurement, facts: TrainingFacts
) -> str:
    """Return the outcome, its reason, and the command that fixes an unmet premise.

    Parameters
    ----------
    verdict
        Claims and premises, with their statuses.
    prediction, measured, facts
        Prediction, measurement and training facts that the verdict compares.
    """
    scored = [claim for claim in verdict.claims if claim.status != "not covered"]
    passing = sum(claim.status == "passes" for claim in scored)
    count = f"{passing} of {len(scored)} claims pass"
    unmet = {premise.name: premise for premise in verdict.premises if premise.met is False}
    if "finite" in unmet and measured.network is None:
        bad = measured.non_finite
        return (
            f"{bad} of the logits {_are(bad)} NaN or infinite, so the network cannot be measured."
        )
    if "finite" in unmet:
        bad = measured.non_finite
        return (
            f"The network has non-finite weights ({bad} {'is' if bad == 1 else 'are'} NaN or "
            "infinite), so it cannot be measured. Train it again with a smaller "
            "--learning-rate."
        )
    if verdict.status == "not covered":
        return f"No theorem covers {_setting(prediction, facts)}: claims are reported, not scored."
    if verdict.status == "contradicted":
        names = ", ".join(c.name.replace("_", " ") for c in scored if c.status == "contradicted")
        return (
            "Contradicted: no network this close to the minimum can have this measurement "
            f"({names}). Please check it in --dtype float64 and report it. {count}."
        )
    if verdict.status == "passes":
        return _passing(verdict, prediction, unmet, facts, count)
    if any(claim.reason for claim in scored):
        return _partly_known(scored)
    return f"{_reason(unmet, prediction, measured, facts, verdict)} {_capital(count)}."


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _partly_known(scored: list[Claim]) -> str:
    """Return the outcome if some claims could not be measured."""
    known = [claim for claim in scored if not claim.reason]
    failing = [claim.name.replace("_", " ") for claim in known if claim.status != "passes"]
    words = f"{len(known)} of {len(scored)} claims are known"
    if failing:
        words += (
            f", {len(known) - len(failing)} of them pass ({', '.join(failing)} "
            f"{'does' if len(failing) == 1 else 'do'} not)"
        )
    elif known:
        words += ", and pass" if len(known) > 1 else ", which passes"
    rest = [claim for claim in scored if claim.reason]
    reasons = dict.fromkeys(claim.reason for claim in rest)
    return f"{words}; {len(rest)} are unknown: {'; '.join(reasons)}."


def _passing(
    verdict: Verdict,
    prediction: Prediction,
    unmet: dict[str, Premise],
    facts: TrainingFacts,
    count: str,
) -> str:
    unmet.pop("theorem", None)
    if not unmet:
        return f"{verdict.count}: the network is the one that {_basis(prediction)} predicts."
    because = {
        "rows": f"although it was trained {facts.other_rows or 'on other rows'}",
        "width": f"although it is narrower than the {_whole(unmet.get('width'))} neurons that suffice",
        "strength": "although the penalty is above the strength at which networks collapse",
        "path": "although the penalty had not fallen to its end",
        "weights": "although the weights are not those that training ended with",
        "minimum": "although the minimum is not reached",
    }[next(iter(unmet))]
    return f"{_capital(count)}, {because}: the theory does not guarantee that."


def _reason(
    unmet: dict[str, Premise],
    prediction: Prediction,
    measured: Measurement,
    facts: TrainingFacts,
    verdict: Verdict,
) -> str:
    """Return the first unmet premise, and the command that fixes it."""
    advice = facts.advice
    if "rows" in unmet:
        how = facts.other_rows or f"and measured on a sample of {measured.sampled} rows"
        return (
            f"Trained {how}: the theory covers networks that are trained on every row with its "
            "right answer, and does not guarantee claims about others."
        )
    if "strength" in unmet:
        strength = unmet["strength"]
        norm = measured.norm
        did = "as this one did" if norm is not None and norm < 1e-3 else "in the end"
        return (
            f"The penalty is too strong: at strength {strength.measured:g}, above "
            f"{strength.needed:.3g}, every network collapses to zero, {did}.{_try(advice, 'strength')}"
        )
    if "weights" in unmet:
        weights = unmet["weights"]
        return (
            "The weights are not those that training ended with: their loss is "
            f"{weights.measured:.6g}, the last one recorded {weights.needed:.6g}. The "
            "parameter file was changed."
        )
    if "width" in unmet:
        needed = int(unmet["width"].needed or 0)
        return (
            f"Too narrow: {_neurons(unmet['width'])}, where {needed} suffice; the theory does "
            f"not guarantee claims about narrower networks.{_wider(advice, 2 * needed)}"
        )
    if facts.ended == "interrupted" or "path" in unmet:
        return f"Not trained to the end: stopped at step {facts.step} of {facts.steps}{_longer(advice)}"
    if "minimum" in unmet:
        return _not_at_minimum(unmet["minimum"], prediction, measured, facts, verdict)
    return "Some claims could not be measured."


def _not_at_minimum(
    minimum: Premise,
    prediction: Prediction,
    measured: Measurement,
    facts: TrainingFacts,
    verdict: Verdict,
) -> str:
    excess, advice = minimum.measured or 0.0, facts.advice
    if prediction.at_penalty is None:
        short = (
            f"Not a network of maximum margin: it has {_percent(1 - excess)} of it, and the "
            "claims are about those that have all of it"
        )
        return f"{short}{_longer(advice)}" if facts.trains_margin else f"{short}."
    above = f"loss {_percent(excess)} above the minimum"
    if excess >= 1:
        above = f"loss {1 + excess:.3g} times the minimum"
    if facts.ended == "share of the margin":
        return (
            f"Stopped early, as --stop-share asks: {above}."
            f"{_command(advice.without('stop_share') if advice else None)}"
        )
    if facts.ended == "converged":
        return (
            f"Stopped early, as --tolerance asks: {above}."
            f"{_command(advice.without('tolerance', 'patience') if advice else None)}"
        )
    if facts.ended == "optimal":
        return (
            f"Stopped early, as --until-optimal asks: {above}."
            f"{_command(advice.without('until_optimal') if advice else None)}"
        )
    if facts.ended == "diverged":
        return (
            f"Diverged after step {facts.step}, which is kept: {above}; try a smaller "
            "--learning-rate."
        )
    # the fall is relative to the loss, the excess to its minimum
    fall = None if facts.last_fall is None else facts.last_fall * (1 + excess)
    falling = fall is not None and fall >= _FALLING * excess
    start = "Not trained to the end: " if excess > 1e-3 else "Near the minimum, not at it: "
    # a rate that decays within few steps ends any fall
    if falling or fall is None or (advice is not None and advice.short):
        still = " and still falling" if falling else ""
        return f"{start}{above}{still}{_longer(advice)}"
    needed, width = prediction.sufficient_width, len(measured.neuron_norms)
    if needed is not None and width < 2 * needed:
        return (
            f"Stuck near the minimum: {above} and no longer falling; {width} neurons are fewer than "
            f"twice the {needed} that suffice, and often get stuck.{_wider(advice, 2 * needed)}"
        )
    return (
        f"Stuck near the minimum: {above} and hardly falling any more."
        f"{_command(advice.longer() if advice else None)}"
        if excess <= 1e-3
        else f"Stuck: {above} and no longer falling.{_command(advice.other_seed() if advice else None)}"
    )


def _setting(prediction: Prediction, facts: TrainingFacts) -> str:
    if facts.uncovered:
        return facts.uncovered
    if prediction.margin is None or not prediction.proved:
        return f"{prediction.task} with the activation {prediction.activation}"
    if prediction.penalty is None or prediction.penalty.norm == "homogeneous":
        return "training without a penalty"
    return "the squared L2 penalty"


def _basis(prediction: Prediction) -> str:
    """Return the theorem's short citation: ``"Theorem 7 (Morwani et al. 2024)"``."""
    author, _, theorem = prediction.theorem.partition(", ")
    return f"{theorem} ({author})" if theorem.startswith("Theorem ") else "the theory"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


def _whole(premise: Premise | None) -> str:
    return "" if premise is None or premise.needed is None else f"{premise.needed:.0f}"


def _neurons(premise: Premise) -> str:
    count = int(premise.measured or 0)
    return f"{count} neuron{'' if count == 1 else 's'}"


def _command(command: str | None) -> str:
    return f" Try: `{command}`." if command else ""


def _try(advice: Advice | None, *fields: str) -> str:
    return _command(advice.without(*fields) if advice else None)


def _wider(advice: Advice | None, least: int) -> str:
    if advice is None:
        return f" Try --width {least}."
    return _command(advice.wider(least))


def _longer(advice: Advice | None) -> str:
    return "." if advice is None else f"; continue with `{advice.longer()}`."
