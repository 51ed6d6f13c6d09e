"""Every error of the app, with its fate and a hint for people.

An error is named after the fact. Its `code` is stable (it is a metric label and a heading in
docs/reference/errors.md), its `disposition` decides its fate, and `failure_of` is the only place
that turns an exception into that decision.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import ClassVar


class Disposition(StrEnum):
    """The fate of a reaction that ended in an error."""

    RETRY = "retry"  #: Waiting can help: bury it and replay it later.
    PARK = "park"  #: Only a person can help: keep it until somebody decides.
    ASK = "ask"  #: Only a person's yes is missing: keep it until it is given.
    IGNORE = "ignore"  #: There is nothing to do: record it and go on.


class SignalboxError(Exception):
    """An expected failure: a message with the facts, and a hint that says what to do next."""

    code: ClassVar[str] = "unexpected"
    disposition: ClassVar[Disposition] = Disposition.PARK
    default_hint: ClassVar[str] = ""

    def __init__(
        self, message: str, *, hint: str | None = None, retry_after: timedelta | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint
        self.retry_after = retry_after


class EventMalformed(SignalboxError):
    """The body is not an event of the schema that it names."""

    code = "event.malformed"
    default_hint = "Compare it with the Event Grid schema for Azure Machine Learning."


class WorkspaceForeign(SignalboxError):
    """The event comes from a workspace that reactions.yaml does not list."""

    code = "event.foreign_workspace"
    disposition = Disposition.IGNORE
    default_hint = "List the workspace under `workspaces:` if its events are meant to be handled."


class EventMisplaced(SignalboxError):
    """The event came to a trigger that is not for its type."""

    code = "event.misplaced"
    disposition = Disposition.IGNORE
    default_hint = (
        "Subscribe the function or queue that docs/reference/delivery.md names for the type."
    )


class TagsAwaited(SignalboxError):
    """A model without the tags that a reaction asks for was registered just now."""

    code = "event.tags_awaited"
    disposition = Disposition.RETRY


class RunByOrder(SignalboxError):
    """A person has ordered that a reaction run for a model; the app does it with the letter."""

    code = "reaction.ordered"
    disposition = Disposition.RETRY


class ReactionsInvalid(SignalboxError):
    """The reactions file has errors; the message lists all of them."""

    code = "reactions.invalid"
    default_hint = "Run `signalbox check` and fix the mistakes that it prints."


class ReactionGone(SignalboxError):
    """A letter names a reaction that the reactions file no longer has."""

    code = "reaction.gone"
    default_hint = "Restore the reaction under its old name, or close the letter."


class LimitReached(SignalboxError):
    """The reaction has started as often as its `limit` allows."""

    code = "reaction.limit"
    disposition = Disposition.IGNORE


class CoolingDown(SignalboxError):
    """The reaction's last start is not as long ago as its `cooldown` asks."""

    code = "reaction.cooldown"
    disposition = Disposition.IGNORE


class StartedBefore(SignalboxError):
    """The reaction has started for the same key of its `once_per`."""

    code = "reaction.once_per"
    disposition = Disposition.IGNORE


class Frozen(SignalboxError):
    """The reaction waits for the end of a freeze."""

    code = "reaction.frozen"
    disposition = Disposition.RETRY
    default_hint = "It goes on when the freeze ends, or when reactions.yaml has it no more."


class FrozenOut(SignalboxError):
    """The event came within a freeze that skips events."""

    code = "reaction.frozen_out"
    disposition = Disposition.IGNORE


class ChainTooLong(SignalboxError):
    """As many reactions as `chain_limit` allows led to this event, one after another."""

    code = "reaction.chain"
    disposition = Disposition.IGNORE


class DryRun(SignalboxError):
    """The reaction has `dry_run: true`, so nothing is done."""

    code = "reaction.dry_run"
    disposition = Disposition.IGNORE


class ExpressionFailed(SignalboxError):
    """An expression of a reaction gave no usable value for this event."""

    code = "reaction.expression"
    default_hint = "Fix the expression, then replay the letter."


class ParamsInvalid(SignalboxError):
    """An action does not accept the values that were rendered from the event."""

    code = "action.params"
    default_hint = "Fix the reaction, or the tag that the value came from, then replay the letter."


class TagForbidden(SignalboxError):
    """A model tag asks for something outside the reaction's allow-list."""

    code = "deploy.tag_forbidden"
    default_hint = "Register the model with an allowed value, or widen `allow:` in the reaction."


class ModelUnfit(SignalboxError):
    """The model can't be deployed without code, and the reaction names none."""

    code = "deploy.model_unfit"
    default_hint = (
        "Register it as `mlflow_model` or `triton_model`, or give the reaction an `environment`."
    )


class ModelAbsent(SignalboxError):
    """The event is about a model that can't be read yet."""

    code = "deploy.model_absent"
    disposition = Disposition.RETRY


class ApprovalMissing(SignalboxError):
    """A retraining waits for a person to approve it."""

    code = "retrain.approval"
    disposition = Disposition.ASK
    default_hint = "Run `signalbox loops approve` or `reject`."


class WindowOpen(SignalboxError):
    """The monitor's run has not ended: its other signals are still to come."""

    code = "retrain.window_open"
    disposition = Disposition.RETRY


class BudgetFull(SignalboxError):
    """The reaction already has as many runs as its policy allows."""

    code = "retrain.budget"
    disposition = Disposition.RETRY


class JobInvalid(SignalboxError):
    """AML does not accept a job's YAML, or the job needs files that only a laptop has."""

    code = "retrain.job_invalid"
    default_hint = "Run `signalbox check`, fix the file and deploy the app."


class TargetError(SignalboxError):
    """A retraining's target can't be started, stopped or asked; each subclass says why."""


class TargetUnreachable(TargetError):
    """The target did not answer, or answered with a server error."""

    code = "target.unreachable"
    disposition = Disposition.RETRY


class TargetThrottled(TargetError):
    """The target asked for fewer requests."""

    code = "target.throttled"
    disposition = Disposition.RETRY


class TargetDenied(TargetError):
    """The app's identity, or its token, may not start this."""

    code = "target.denied"
    default_hint = (
        "See docs/reference/targets.md for what the target wants, then replay the letter."
    )


class TargetAbsent(TargetError):
    """There is no such pipeline, component, experiment, endpoint, workflow or setting."""

    code = "target.absent"
    default_hint = "Make it, or fix `target:` in the reaction, then replay the letter."


class TargetRefused(TargetError):
    """The target understood the request and refused it."""

    code = "target.refused"


class MetricMissing(SignalboxError):
    """A model can't be compared: a metric is missing from it or from the model that serves."""

    code = "better.metric_missing"
    default_hint = "Log the metric in the run, or tag the model with it, then replay the letter."


class MetricAwaited(SignalboxError):
    """A model can't be compared yet: the run that is to log the metric has not ended."""

    code = "better.metric_awaited"
    disposition = Disposition.RETRY


class NotBetter(SignalboxError):
    """A model is not better than the one that serves, or not by the margin that is wanted."""

    code = "better.no"
    disposition = Disposition.IGNORE


class RunAbsent(SignalboxError):
    """The event is about a run that can't be read."""

    code = "run.absent"
    disposition = Disposition.RETRY


class Superseded(SignalboxError):
    """The workspace has moved on since the event; acting now would be wrong."""

    code = "superseded"
    disposition = Disposition.IGNORE


class WorkspaceError(SignalboxError):
    """The workspace can't do what it was asked to do; each subclass says why."""


class WorkspaceUnreachable(WorkspaceError):
    """The workspace did not answer, or answered with a server error."""

    code = "workspace.unreachable"
    disposition = Disposition.RETRY


class WorkspaceThrottled(WorkspaceError):
    """The workspace asked for fewer requests."""

    code = "workspace.throttled"
    disposition = Disposition.RETRY


class WorkspaceBusy(WorkspaceError):
    """Another operation runs on the same resource."""

    code = "workspace.busy"
    disposition = Disposition.RETRY


class WorkspaceDenied(WorkspaceError):
    """The app's identity may not do this."""

    code = "workspace.denied"
    default_hint = (
        "Give the app's managed identity the role that docs/reference/roles.md names."
        " On a laptop, sign in with `az login`."
    )


class WorkspaceRefused(WorkspaceError):
    """The workspace understood the request and refused it."""

    code = "workspace.refused"


class QuotaExceeded(WorkspaceError):
    """The subscription has no cores left for the deployment."""

    code = "workspace.quota"
    default_hint = (
        "Free or request cores (of most sizes Azure keeps 20% in reserve), then register again."
    )


class OrderImpossible(SignalboxError):
    """A rollout can't carry out this order in its phase."""

    code = "rollout.order"


class NoWayBack(SignalboxError):
    """Traffic is to go to what served before, which is not known, gone, or not healthy."""

    code = "shift.no_way_back"
    disposition = Disposition.IGNORE


class RolloutAbsent(SignalboxError):
    """A reaction has an order for a rollout, and none is under way that could take it."""

    code = "rollout.absent"
    disposition = Disposition.IGNORE


class LoopOrderImpossible(SignalboxError):
    """A loop can't carry out this order in its state."""

    code = "loop.order"


class StorageUnavailable(SignalboxError):
    """The app's own storage did not answer, or answered with a server error."""

    code = "storage.unavailable"
    disposition = Disposition.RETRY


class StorageContended(StorageUnavailable):
    """Other workers changed a row each time before this one could write it."""

    code = "storage.contended"


class StorageDenied(SignalboxError):
    """The app's identity can't sign in to its own storage, or may not do this there."""

    code = "storage.denied"
    disposition = Disposition.RETRY
    default_hint = (
        "Give the identity the storage roles in docs/reference/roles.md, and let the account's"
        " network rules admit it. On a laptop, sign in with `az login`."
    )


class ChannelDown(SignalboxError):
    """A channel did not take the message."""

    code = "channel.down"
    disposition = Disposition.RETRY


class ChannelUnknown(SignalboxError):
    """No app setting holds the URL of this channel."""

    code = "channel.unknown"
    default_hint = "Set SIGNALBOX_CHANNEL_<NAME> to the channel's Apprise URL."


class TopicError(SignalboxError):
    """An Event Grid topic did not take an event; each subclass says why."""


class TopicUnreachable(TopicError):
    """The topic did not answer, or answered with a server error."""

    code = "topic.unreachable"
    disposition = Disposition.RETRY


class TopicThrottled(TopicError):
    """The topic asked for fewer events."""

    code = "topic.throttled"
    disposition = Disposition.RETRY


class TopicDenied(TopicError):
    """The app's identity, or the topic's key, may not publish there."""

    code = "topic.denied"
    default_hint = (
        "Give the app's identity the role EventGrid Data Sender on the topic, or correct"
        " SIGNALBOX_TOPIC_<NAME>_KEY, then replay the letter."
    )


class TopicUnknown(TopicError):
    """No app setting holds the topic's endpoint, or there is no topic at it."""

    code = "topic.unknown"
    default_hint = (
        "Set SIGNALBOX_TOPIC_<NAME> to the topic's endpoint, such as"
        " https://<topic>.<region>-1.eventgrid.azure.net/api/events, then replay the letter."
    )


class TopicRefused(TopicError):
    """The topic understood the request and refused it."""

    code = "topic.refused"


class ClaimHeld(SignalboxError):
    """Another worker holds the claim; it may finish, or its lease may run out."""

    code = "claim.held"
    disposition = Disposition.RETRY


class CutOff(SignalboxError):
    """Work was begun and did not end: its worker died, or could not write the result.

    It is tried once more, a while later, so that it does not run beside other work that was cut off
    with it.
    """

    code = "worker.cut_off"
    disposition = Disposition.RETRY


class CutOffAgain(SignalboxError):
    """Work was cut off twice: a third time may end the Functions host."""

    code = "worker.cut_off_again"
    default_hint = (
        "See in the log what ended the worker: memory, time, or a crash of a library. Then replay"
        " the letter: what was done is not done again."
    )


class BudgetSpent(SignalboxError):
    """The trigger's time was used up before this reaction began."""

    code = "deferred"
    disposition = Disposition.RETRY


class SettingInvalid(SignalboxError):
    """An app setting is absent or can't be read."""

    code = "setting.invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The meaning of an exception: its code, its fate, and the words for people."""

    code: str
    disposition: Disposition
    reason: str
    hint: str = ""
    retry_after: timedelta | None = None


def failure_of(error: BaseException) -> Failure:
    """Return what becomes of a reaction that failed with this error.

    An unexpected exception is retried: a bug that strikes at random may pass, and any other is
    parked once its letter has used up its attempts. Only its type is shown, because its text may
    hold anything.
    """
    if isinstance(error, SignalboxError):
        return Failure(
            code=error.code,
            disposition=error.disposition,
            reason=error.message,
            hint=error.hint,
            retry_after=error.retry_after,
        )
    return Failure(
        code=SignalboxError.code,
        disposition=Disposition.RETRY,
        reason=f"unexpected {type(error).__name__}",
        hint="The traceback is in the log of this invocation.",
    )
