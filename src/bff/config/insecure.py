"""The keys of a configuration that weaken security: each is spelt `insecure_...`, and said at every start."""

from bff.config.model import Config


def insecure_keys(config: Config) -> list[str]:
    """The keys that are on, as in `providers.corp.insecure_http`."""
    return [
        f"providers.{name}.{key}"
        for name, provider in config.providers.items()
        for key in type(provider).model_fields
        if key.startswith("insecure_") and getattr(provider, key)
    ]
