"""The second way: any kind of row, under the name of its class and its id."""

import logging

from django.core.cache import cache

logger = logging.getLogger("qsets")


def key_of(model, id):
    return f"{model.__name__}.{id}"


def get(model, id):
    key = key_of(model, id)
    row = cache.get(key)
    if row is not None:
        logger.info("  CACHE HIT key=%s", key)
        return row
    logger.info("  CACHE MISS key=%s", key)
    row = model.objects.filter(id=id).first()
    if row is not None:
        logger.info("  CACHE POPULATE key=%s", key)
        cache.set(key, row)
    return row


def set(id, row):
    invalidate(type(row), id)
    row.id = id
    row.save()


def remove(model, id):
    invalidate(model, id)
    model.objects.filter(id=id).delete()


def invalidate(model, id):
    logger.info("  CACHE INVALIDATE key=%s", key_of(model, id))
    cache.delete(key_of(model, id))
