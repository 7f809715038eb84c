// The system's MariaDB Connector/C. <features.h> comes first, as in CLibevent.
#include <features.h>
#include <mysql.h>
#include <errmsg.h>
#include <mysqld_error.h>
