"""Builds targets by the names that they have in reactions.yaml, when they are first used."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from shared.adapters.aml.jobs import Jobs
from shared.base.lazy import Lazy
from shared.base.settings import Settings
from shared.retraining.targets import Target, TargetParams

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

    from shared.adapters.aml.connection import Aml


class Targets:
    """The targets, safe to share between threads; each is imported on first use."""

    def __init__(
        self,
        *,
        aml: "Callable[[], Aml]",
        credential: "Callable[[], TokenCredential]",
        environ: Mapping[str, str],
        settings: Settings,
        root: Path,
    ) -> None:
        """`environ` has the secrets of targets, `root` the app's jobs/ folder."""
        self._credential: Final = credential
        self._environ: Final = environ
        self._settings: Final = settings
        self._root: Final = root
        self._http: Final = Lazy(lambda: aml().http)
        self._jobs: Final = Lazy(lambda: Jobs(aml(), studio=settings.studio_endpoint))
        self._made: Final[dict[str, Lazy[Target[Any]]]] = {
            name: Lazy(partial(self._make, name)) for name in TargetParams.model_fields
        }

    def get(self, name: str) -> Target[Any]:
        """Return the target of this name, which is a key of TargetParams."""
        return self._made[name]()

    def _make(self, name: str) -> Target[Any]:
        match name:
            case "job":
                from shared.adapters.targets.job import Job

                return Job(self._jobs(), root=self._root)
            case "component":
                from shared.adapters.targets.component import Component

                return Component(self._jobs())
            case "batch_endpoint":
                from shared.adapters.targets.batch_endpoint import BatchEndpoint

                return BatchEndpoint(self._jobs())
            case "copy_of":
                from shared.adapters.targets.copy_of import CopyOf

                return CopyOf(self._jobs())
        return self._make_external(name)

    def _make_external(self, name: str) -> Target[Any]:
        environ, settings = self._environ, self._settings
        match name:
            case "data_factory":
                from shared.adapters.targets.data_factory import DataFactory

                endpoint = settings.arm_endpoint
                return DataFactory(self._credential, endpoint=endpoint, http=self._http())
            case "azure_devops":
                from shared.adapters.targets.azure_devops import AzureDevOps

                endpoint = settings.devops_endpoint
                return AzureDevOps(self._credential, endpoint=endpoint, http=self._http())
            case "github":
                from shared.adapters.targets.github import GitHub

                return GitHub(environ, endpoint=settings.github_endpoint, http=self._http())
            case "webhook":
                from shared.adapters.targets.webhook import Webhook

                return Webhook(environ, http=self._http())
        raise KeyError(name)
