"""Resources of a region rather than of a workspace: operations, quota and VM sizes."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.workspace.arm import ArmError, ArmRoute, not_found, page
from sandbox.workspace.cloud import Cloud, cloud_of
from sandbox.workspace.operations import POLL_INTERVAL, Operation
from sandbox.workspace.vm_sizes import vm_sizes


async def get_operation_status(request: Request) -> Response:
    """Return how far an operation is."""
    cloud = cloud_of(request)
    operation = _operation(cloud, request)
    path = f"{cloud.location_path}/mfeOperationsStatus/{operation.id}"
    return JSONResponse(operation.document(path), headers=_wait(cloud, operation))


async def get_operation_result(request: Request) -> Response:
    """Return what an operation made, nothing after a deletion, 202 while it runs."""
    cloud = cloud_of(request)
    operation = _operation(cloud, request)
    if not operation.is_over:
        headers = _wait(cloud, operation) | {"Location": str(request.url)}
        return Response(status_code=202, headers=headers)
    if operation.error:
        raise ArmError(400, operation.error["code"], operation.error["message"])
    result = operation.result()
    return Response(status_code=204) if result is None else JSONResponse(result)


async def list_usages(request: Request) -> Response:
    """List the cores in use and the limit of every VM family."""
    cloud = _check_location(request)
    usages = cloud.quotas.usages(cloud.location_path, cloud.deployments())
    return JSONResponse(page(request, cloud.url, list(usages)))


async def list_vm_sizes(request: Request) -> Response:
    """List the VM sizes of the region."""
    _check_location(request)
    return JSONResponse({"value": list(vm_sizes())})


def _operation(cloud: Cloud, request: Request) -> Operation:
    _check_location(request)
    operation_id = request.path_params["operation"]
    operation = cloud.operations.get(operation_id)
    if operation is None:
        raise not_found("Operation", operation_id)
    return operation


def _wait(cloud: Cloud, operation: Operation) -> dict[str, str]:
    wait = {"Retry-After": cloud.clock.retry_after(POLL_INTERVAL)}
    return {} if operation.is_over else wait


def _check_location(request: Request) -> Cloud:
    cloud = cloud_of(request)
    cloud.check_subscription(request)
    location = request.path_params["location"]
    if location.lower() != cloud.settings.location.lower():
        raise not_found("Location", location)
    return cloud


#: Paths below a location.
routes: list[ArmRoute] = [
    ("GET", "/mfeOperationsStatus/{operation}", get_operation_status),
    ("GET", "/mfeOperationResults/{operation}", get_operation_result),
    ("GET", "/usages", list_usages),
    ("GET", "/vmSizes", list_vm_sizes),
]
