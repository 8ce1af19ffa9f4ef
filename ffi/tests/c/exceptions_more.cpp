// A second unit that includes the header: whatever is not inline there would now be defined twice.
#include <libsession.h>
#include <libsession.hpp>

libsession::manager second_unit(libsession::config& config);
libsession::manager second_unit(libsession::config& config) { return libsession::manager::try_open(config).value(); }
