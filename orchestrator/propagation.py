"""What of the environment Ray hands on, and writes into its logs in doing so."""

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN")


def keep_keys_out() -> None:
    """Tune gives these to every trial by its runtime environment, which Ray's agent logs in full. Our trials only watch
    cells and write nowhere, so they need none of them."""
    from ray.tune.execution import class_cache

    class_cache.ENV_VARS_TO_PROPAGATE.difference_update(KEYS)
