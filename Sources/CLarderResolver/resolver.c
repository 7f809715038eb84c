#include "larder_resolver.h"

#include <arpa/nameser.h>
#include <netinet/in.h>
#include <resolv.h>

int larder_query_services(const char *name, unsigned char *answer, int length) {
    return res_query(name, ns_c_in, ns_t_srv, answer, length);
}
