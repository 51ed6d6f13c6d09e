"""azure-ai-ml, for what only it can do: reading a job's YAML and submitting what it means.

Importing it takes 2 s and 80 MB, so that nothing imports it before it is needed. Its habits that do
not belong in an app are turned off here: it uploads what it takes for a local path, writes to the
terminal, tells every run which git repository the app lives in, waits for minutes, and sleeps for
as long as a service asks it to.
"""

import logging
import warnings
from typing import TYPE_CHECKING, Any, Final, NoReturn

from shared.adapters.aml.addresses import Aml
from shared.base.lazy import Lazy
from shared.base.settings import CLOUDS
from shared.events.model import Workspace

if TYPE_CHECKING:
    from azure.ai.ml import MLClient


class MlClients:
    """An MLClient for each workspace, made on first use; safe to share between threads.

    Its jobs are: what it makes of a job must not be shared, for it changes what it submits. The
    SDK knows one cloud per process.
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

        from shared.adapters.carrier import transport

        return MLClient(
            self._aml.credential(),
            workspace.subscription,
            workspace.resource_group,
            workspace.name,
            show_progress=False,
            enable_telemetry=False,
            user_agent="signalbox",
            transport=transport(self._aml.http),
            # What carries the requests tries again by itself where nothing was sent.
            retry_total=0,
            permit_redirects=False,
            **_cloud(self._aml),
        )


def _cloud(aml: Aml) -> dict[str, Any]:
    endpoint = aml.arm.root
    if known := CLOUDS.get(endpoint.lower()):
        return {"cloud": known.name}
    return {
        # The SDK never forgets what it was told first of a name.
        "cloud": endpoint,
        # Only the first two are asked for anything here.
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

    told = "nothing is uploaded from here: a local path is left in the job"
    raise MlException(message=told, no_personal_data_message=told)


def _import() -> bool:
    with warnings.catch_warnings():
        # It builds its schemas in a way that its marshmallow deprecates.
        warnings.simplefilter("ignore")
        import azure.ai.ml
        import azure.ai.ml._artifacts._artifact_utilities as artifacts
        import azure.ai.ml.operations._job_operations as job_operations

    # It would describe the folder of the app, or the developer's, as where the job's code is from.
    vars(job_operations)["get_git_properties"] = dict
    # Everything that it uploads goes through this. The app's own files have its secrets among them.
    vars(artifacts)["_upload_to_datastore"] = _refuse_upload
    logger = logging.getLogger(azure.ai.ml.__name__)
    for handler in tuple(logger.handlers):
        logger.removeHandler(handler)
    logger.propagate = True
    logger.setLevel(logging.ERROR)
    return True


#: Imports the SDK, once, and teaches it manners. To be called before anything else of it is used.
sdk: Final = Lazy(_import)
