/* The names of settings.c. */
#ifndef SETTINGS_H
#define SETTINGS_H

#include <libsession.h>

#define COOKIE "shop_session"
#define APPLICATION "shop"
#define POOL "users"

lses_status open_manager(lses_manager **manager);

#endif
