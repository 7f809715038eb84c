// The system's libpq. <features.h> comes first, as in CLibevent.
#include <features.h>
#include <libpq-fe.h>
