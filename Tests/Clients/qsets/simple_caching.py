"""The first way: one kind of row, under its id alone."""

import logging

from django.core.cache import cache

from .models import User

logger = logging.getLogger("qsets")


def get_user(id):
    user = cache.get(id)
    if user is not None:
        logger.info("  CACHE HIT key=%s", id)
        return user
    logger.info("  CACHE MISS key=%s", id)
    user = User.objects.filter(id=id).first()
    if user is not None:
        logger.info("  CACHE POPULATE key=%s", id)
        cache.set(id, user)
    return user


def set_user(id, name):
    logger.info("  CACHE INVALIDATE key=%s", id)
    cache.delete(id)
    User.objects.update_or_create(id=id, defaults={"name": name})


def remove_user(id):
    logger.info("  CACHE INVALIDATE key=%s", id)
    cache.delete(id)
    User.objects.filter(id=id).delete()
