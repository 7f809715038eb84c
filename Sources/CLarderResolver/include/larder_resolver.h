// The system's resolver, for records that getaddrinfo does not look up.
#ifndef LARDER_RESOLVER_H
#define LARDER_RESOLVER_H

// <resolv.h> is not in the Glibc module. Asks the DNS for a name's SRV records, and writes its answer as it came,
// `length` bytes of it at most. Blocks. The length of the answer, or -1 when there is none.
int larder_query_services(const char *name, unsigned char *answer, int length);

#endif
