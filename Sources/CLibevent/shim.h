// The system's libevent. <features.h> comes first: Debian's event2/event-config.h
// defines _GNU_SOURCE, and glibc's types would then differ between this module and
// Swift's own Glibc module, which a debug build refuses.
#include <features.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <event2/thread.h>
