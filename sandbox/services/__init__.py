"""Services outside the workspace that a pipeline can be started with, each a server on https."""
