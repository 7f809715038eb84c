#define _GNU_SOURCE
#include "larder_sasl.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Declarations of <sasl/sasl.h>, which a machine that builds the server need not have.
enum { SASL_OK = 0, SASL_CONTINUE = 1, SASL_FAIL = -1 };
enum { SASL_CB_LIST_END = 0, SASL_CB_LOG = 2, SASL_CB_GETCONFPATH = 5 };
enum { SASL_LOG_NONE = 0, SASL_SEC_PROPS = 101, SASL_SEC_NOANONYMOUS = 0x10 };

typedef struct {
    unsigned long id;
    int (*function)(void);
    void *context;
} callback;

typedef struct {
    unsigned min_ssf, max_ssf, maxbufsize, security_flags;
    const char **property_names, **property_values;
} security_properties;

static struct {
    int (*sasl_server_init)(const callback *callbacks, const char *application);
    int (*sasl_server_new)(
        const char *service, const char *host, const char *realm, const char *local, const char *remote,
        const callback *callbacks, unsigned flags, larder_sasl_session **session);
    int (*sasl_setprop)(larder_sasl_session *session, int property, const void *value);
    int (*sasl_listmech)(
        larder_sasl_session *session, const char *user, const char *prefix, const char *separator, const char *suffix,
        const char **list, unsigned *length, int *count);
    int (*sasl_server_start)(
        larder_sasl_session *session, const char *mechanism, const char *message, unsigned length,
        const char **challenge, unsigned *challenge_length);
    int (*sasl_server_step)(
        larder_sasl_session *session, const char *message, unsigned length, const char **challenge,
        unsigned *challenge_length);
    void (*sasl_dispose)(larder_sasl_session **session);
} sasl;

static int log_level;
static void (*log_line)(int level, const char *line);
static char realm[1025];

const char *larder_sasl_load(void) {
    static void *library;
    if (library) return NULL;
    void *loaded = dlopen("libsasl2.so.2", RTLD_NOW | RTLD_LOCAL);
    // Some distributions have another number.
    if (!loaded) loaded = dlopen("libsasl2.so.3", RTLD_NOW | RTLD_LOCAL);
    if (!loaded) return dlerror();
#define LOAD(name)                                           \
    sasl.name = (__typeof__(sasl.name))dlsym(loaded, #name); \
    if (!sasl.name) return dlerror();
    LOAD(sasl_server_init)
    LOAD(sasl_server_new)
    LOAD(sasl_setprop)
    LOAD(sasl_listmech)
    LOAD(sasl_server_start)
    LOAD(sasl_server_step)
    LOAD(sasl_dispose)
    library = loaded;
    return NULL;
}

// ---- callbacks ----

static int write_log(void *context, int level, const char *line) {
    (void)context;
    if (line && level != SASL_LOG_NONE && level <= log_level) log_line(level, line);
    return SASL_OK;
}

// The directory of memcached.conf, at the places where memcached looks.
static int find_configuration(void *context, char **path) {
    (void)context;
    static const struct {
        const char *directory, *entry;
    } places[] = {{"/etc/sasl", "/etc/sasl/memcached.conf"}, {"/etc/sasl2", "/etc/sasl2/memcached.conf"}};
    const char *found = getenv("SASL_CONF_PATH");
    for (size_t i = 0; !found && i < sizeof places / sizeof *places; i++) {
        char inner[64] = "";
        strcat(strcat(inner, places[i].entry), "/memcached.conf");
        if (access(inner, F_OK) == 0)
            found = places[i].entry;
        else if (access(places[i].entry, F_OK) == 0)
            found = places[i].directory;
    }
    // On the heap, since a library may free it.
    *path = found ? strdup(found) : NULL;
    return *path ? SASL_OK : SASL_FAIL;
}

bool larder_sasl_begin(int level, void (*log)(int level, const char *line)) {
    static const callback callbacks[] = {
        {SASL_CB_LOG, (int (*)(void))(void (*)(void))write_log, NULL},
        {SASL_CB_GETCONFPATH, (int (*)(void))(void (*)(void))find_configuration, NULL},
        {SASL_CB_LIST_END, NULL, NULL},
    };
    log_level = level;
    log_line = log;
    // Users without a realm are those of this host, as in memcached.
    if (gethostname(realm, sizeof realm - 1) != 0) realm[0] = '\0';
    return sasl.sasl_server_init(callbacks, "memcached") == SASL_OK;
}

// ---- sessions ----

larder_sasl_session *larder_sasl_session_new(void) {
    larder_sasl_session *session = NULL;
    int result =
        sasl.sasl_server_new("memcached", NULL, realm[0] ? realm : NULL, NULL, NULL, NULL, 0, &session);
    if (result != SASL_OK) return NULL;
    // ANONYMOUS needs no password, so it must not count as a login.
    static const security_properties properties = {.security_flags = SASL_SEC_NOANONYMOUS};
    if (sasl.sasl_setprop(session, SASL_SEC_PROPS, &properties) == SASL_OK) return session;
    sasl.sasl_dispose(&session);
    return NULL;
}

void larder_sasl_session_free(larder_sasl_session *session) { sasl.sasl_dispose(&session); }

const char *larder_sasl_mechanisms(larder_sasl_session *session) {
    const char *list = NULL;
    unsigned length = 0;
    return sasl.sasl_listmech(session, NULL, "", " ", "", &list, &length, NULL) == SASL_OK && length > 0 ? list : NULL;
}

larder_sasl_outcome larder_sasl_step(
    larder_sasl_session *session, const char *mechanism, const void *message, unsigned length, const char **challenge,
    unsigned *challenge_length) {
    *challenge = NULL;
    *challenge_length = 0;
    // As in memcached, an empty message counts as no message.
    const char *bytes = length > 0 ? message : NULL;
    int result = mechanism
                     ? sasl.sasl_server_start(session, mechanism, bytes, length, challenge, challenge_length)
                     : sasl.sasl_server_step(session, bytes, length, challenge, challenge_length);
    if (!*challenge) *challenge_length = 0;
    return result == SASL_OK         ? LARDER_SASL_SUCCEEDED
           : result == SASL_CONTINUE ? LARDER_SASL_CONTINUES
                                     : LARDER_SASL_FAILED;
}
