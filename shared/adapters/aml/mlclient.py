"""azure-ai-ml, for the one thing that only it can do: read a job's YAML and submit the job.

Importing it takes 2 s and 80 MB, so nothing imports it before it is needed. Habits that do not suit
an app are turned off here: it uploads anything that looks like a local path, writes to the
terminal, records the git repository of the app in every run, waits for minutes, and sleeps for as
long as a service asks it to.
"""

import logging
import warnings
from typing import TYPE_CHECKING, Any, Final, NoReturn

from shared.adapters.aml.connection import Aml
from shared.base.lazy import Lazy
from shared.base.settings import CLOUDS
from shared.events.model import Workspace

if TYPE_CHECKING:
    from azure.ai.ml import MLClient


class MlClients:
    """An MLClient for each workspace, made on first use; safe to share between threads.

    The jobs that it makes are not, because it changes what it submits. The SDK knows one cloud per
    process.
    """

    def __init__(self, aml: Aml) -> None:
        self._aml: Final = aml
        self._made: dict[str, Lazy[MLClient]] = {}

    def get(self, workspace: Workspace) -> "MLClient":
        """Return the client of a workspace."""
        made = self._made.setdefault(workspace.key, Lazy(lambda: self._make(workspace)))
        return made()

    def _make(self, workspace: Workspace) -> "MLClient":
        sdk()
        from azure.ai.ml import MLClient

        from shared.adapters.requests_adapter import transport

        return MLClient(
            self._aml.credential(),
            workspace.subscription,
            workspace.resource_group,
            workspace.name,
            show_progress=False,
            enable_telemetry=False,
            user_agent="signalbox",
            transport=transport(self._aml.http),
            # The guarded exchange itself tries again where nothing was sent.
            retry_total=0,
            permit_redirects=False,
            **_cloud(self._aml),
        )


def _cloud(aml: Aml) -> dict[str, Any]:
    endpoint = aml.arm.root
    if known := CLOUDS.get(endpoint.lower()):
        return {"cloud": known.name}
    return {
        # The SDK keeps the first addresses that it gets for a name.
        "cloud": endpoint,
        # Only the first two get requests here.
        "cloud_metadata": {
            "resource_manager": endpoint,
            "aml_resource_id": aml.audience,
            "azure_portal": endpoint,
            "active_directory": endpoint,
            "storage_endpoint": "core.windows.net",
            "registry_discovery_endpoint": endpoint,
        },
    }


def _refuse_upload(*_: object, **__: object) -> NoReturn:
    from azure.ai.ml.exceptions import MlException

    message = "nothing is uploaded from here: a local path is left in the job"
    raise MlException(message=message, no_personal_data_message=message)


def _import() -> bool:
    with warnings.catch_warnings():
        # It builds its schemas in a way that marshmallow deprecates.
        warnings.simplefilter("ignore")
        import azure.ai.ml
        import azure.ai.ml._artifacts._artifact_utilities as artifacts
        import azure.ai.ml.operations._job_operations as job_operations

    # It would record the folder of the app, or the developer's, as the source of the job's code.
    vars(job_operations)["get_git_properties"] = dict
    # All its uploads go through this. The app's own files may contain secrets.
    vars(artifacts)["_upload_to_datastore"] = _refuse_upload
    logger = logging.getLogger(azure.ai.ml.__name__)
    for handler in tuple(logger.handlers):
        logger.removeHandler(handler)
    logger.propagate = True
    logger.setLevel(logging.ERROR)
    return True


#: Imports the SDK once and turns its habits off. To be called before anything else of it.
sdk: Final = Lazy(_import)
