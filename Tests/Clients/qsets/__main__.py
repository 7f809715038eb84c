"""See the package."""

import os
import sys

import django


def main():
    os.environ["DJANGO_SETTINGS_MODULE"] = "qsets.settings"
    django.setup()
    from django.db import connection
    from django.test import Client

    from .models import Team, User
    with connection.schema_editor() as editor:
        editor.create_model(User)
        editor.create_model(Team)
    site = Client()
    for _ in sys.stdin:
        assert site.get("/").status_code == 200
        print("done", flush=True)


main()
