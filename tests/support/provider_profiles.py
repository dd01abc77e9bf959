"""The providers that have a recipe, each as a value: their paths, and their habits with the source of each."""

from support.plain_profiles import PLAIN
from support.self_hosted_profiles import SELF_HOSTED
from support.social_profiles import SOCIAL
from support.workforce_profiles import WORKFORCE

PROFILES = (*WORKFORCE, *SELF_HOSTED, *SOCIAL, *PLAIN)
