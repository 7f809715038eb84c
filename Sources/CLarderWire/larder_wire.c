#include "larder_wire.h"
