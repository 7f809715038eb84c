#ifndef LARDER_CZLIB_H
#define LARDER_CZLIB_H

#include <zlib.h>

// inflateInit is a macro, which Swift cannot call.
static inline int larder_inflate_init(z_stream *stream) { return inflateInit(stream); }

#endif
