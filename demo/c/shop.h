/* The demo's shop in C: what its files share. demo/README.md says what each address does. */
#ifndef SHOP_H
#define SHOP_H

#include "../shop/settings.h"

#include <libsession.h>
#include <microhttpd.h>

/* What an address answers. The server frees it. */
typedef struct answer {
  unsigned status;
  const char *type;      /* of the body; NULL is JSON */
  char *body;            /* malloc'ed, or NULL */
  lses_buf buf;          /* the body, if the library made it */
  char token[LSES_TOKEN_SIZE]; /* the new cookie, or "" */
  int64_t retry_after_ms;      /* LSES_UNSET: none */
  lses_request *download; /* a request whose download this answer is, or NULL */
  long chunks;
} answer;

/* One request of HTTP. */
typedef struct call {
  lses_manager *manager;
  struct MHD_Connection *connection;
  const char *token;   /* the cookie, or "" */
  const char *address; /* of the client */
  const char *page;    /* the file of the page for visitors */
} call;

typedef void (*handler)(const call *call, answer *answer);

/* visitor.c, admin.c: the address's handler, or NULL. */
handler visitor_handler(const char *method, const char *url);
handler admin_handler(const char *method, const char *url);
/* culprits.c: registers the four event classes. */
lses_status culprits_register(lses_manager *manager);

/* server.c: a query parameter, or NULL; a formatted body; what a status that is not OK answers. */
const char *query(const call *call, const char *name);
void say(answer *answer, const char *format, ...) __attribute__((format(printf, 2, 3)));
void failed(answer *answer, lses_status status);

#endif
