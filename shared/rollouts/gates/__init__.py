"""Gates: whether the new deployment is worse than the stable one."""
