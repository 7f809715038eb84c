"""The one page, which makes, reads, changes and removes a row in each of the three ways."""

import logging

from django.core.cache import caches
from django.http import HttpResponse

from . import generic_caching, simple_caching
from .models import Team, User

logger = logging.getLogger("qsets")


def index(request):
    walk("Django Model object specific simple caching version", "user", "user", "user", ("John", "Jane"),
         simple_caching.get_user, simple_caching.set_user, simple_caching.remove_user)
    walk("generic caching version for all Django Model objects", "a user", "user", "user", ("Alice", "Bob"),
         lambda id: generic_caching.get(User, id), lambda id, name: generic_caching.set(id, User(name=name)),
         lambda id: generic_caching.remove(User, id))
    walk("new CacheableModel class version of Django Model objects", "a team", "team ", "team", ("Dev", "Ops"),
         lambda id: Team().get(id), lambda id, name: Team().set(id, Team(name=name)),
         lambda id: Team().remove(id))
    return HttpResponse("See the log.")


def walk(title, created, first_read, noun, names, get, set, remove, id=1):
    logger.info("Testing %s using %s ...\n", title, type(caches["default"]).__name__)
    logger.info("Creating %s with id=%s", created, id)
    set(id, names[0])
    logger.info("First get of %s with id=%s", first_read, id)
    logger.info("Got %s", get(id))
    logger.info("Second get of %s with id=%s", noun, id)
    logger.info("Got %s", get(id))
    logger.info("Updating %s with id=%s", noun, id)
    set(id, names[1])
    logger.info("First get of updated %s with id=%s", noun, id)
    logger.info("Got %s", get(id))
    logger.info("Second get of updated %s with id=%s", noun, id)
    logger.info("Got %s", get(id))
    logger.info("Removing %s with id=%s", noun, id)
    remove(id)
    logger.info("Get removed %s with id=%s", noun, id)
    logger.info("Got %s\n", get(id))
