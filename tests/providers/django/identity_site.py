"""The addresses of the site, and what it says of its users."""

from django.urls import include, path
from oauth2_provider.oauth2_validators import OAuth2Validator


class Claims(OAuth2Validator):
    """What the site says of its users."""

    def get_additional_claims(self, request):
        """By the names of OpenID Connect."""
        return {"name": request.user.get_full_name(), "email": request.user.email}


urlpatterns = [
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    path("accounts/", include("django.contrib.auth.urls")),
]
