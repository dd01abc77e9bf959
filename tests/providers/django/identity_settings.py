"""A site whose users sign in to other apps: Django OAuth Toolkit as an OpenID provider.

Run by `support/django_toolkit.py`, in an environment of its own, which says by variables where things are.
"""

import os
from pathlib import Path

FOLDER = Path(os.environ["SITE_FOLDER"])
SECRET_KEY = "of its own sessions"
ROOT_URLCONF = "identity_site"
ALLOWED_HOSTS = ["localhost"]
USE_TZ = True
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": FOLDER / "database", "OPTIONS": {"timeout": 30}}
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "oauth2_provider"]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
LOGIN_FORM = '<form method="post" action="">{% csrf_token %}{{ form }}<input type="hidden" name="next" value="{{ next }}"></form>'
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {
            "loaders": [
                ("django.template.loaders.locmem.Loader", {"registration/login.html": LOGIN_FORM}),
                "django.template.loaders.app_directories.Loader",
            ],
            "context_processors": ["django.template.context_processors.request"],
        },
    }
]
OAUTH2_PROVIDER = {
    "OIDC_ENABLED": True,
    "OIDC_RSA_PRIVATE_KEY": (FOLDER / "key.pem").read_text(),
    "OIDC_RP_INITIATED_LOGOUT_ENABLED": True,
    "OIDC_RP_INITIATED_LOGOUT_ALWAYS_PROMPT": False,
    "OAUTH2_VALIDATOR_CLASS": "identity_site.Claims",
    "SCOPES": {"openid": "who you are", "profile": "your name", "email": "your address"},
    "ACCESS_TOKEN_EXPIRE_SECONDS": 4,
    "REFRESH_TOKEN_GRACE_PERIOD_SECONDS": 0,
}
