/* What a running script knows: labels, deliveries, hanging callbacks, the lifecycle log so far. */
#ifndef WORLD_H
#define WORLD_H

#include <libsession.h>
#include <pthread.h>

#include "text.h"

/* The answer of a line: the engine's (an error is one, too), or why the script is wrong. */
typedef struct answer {
  char *text;
  char *message; /* of an engine's error; else "" */
  int wrong;     /* the script is */
} answer;

answer says(const char *how, ...) __attribute__((format(printf, 1, 2)));
answer wrong(const char *how, ...) __attribute__((format(printf, 1, 2)));
/* The answer for this thread's last failure. */
answer failed(void);
/* The same, if a call told it its callback; once. */
int told_failure(answer *out);

#define OR_FAILED(call)                    \
  do {                                     \
    if ((call) != LSES_OK) return failed(); \
  } while (0)

/* The words behind a verb: in order, and by name. */
typedef struct words {
  texts plain, names, values;
} words;

words sorted_words(char **items, size_t count);
const char *at(const words *words, size_t index);
const char *named(const words *words, const char *name);
int has_plain(const words *words, const char *word);
/* A JSON text decoded, or the word itself; NULL data: a broken text. */
lses_str text_of(const char *word);
/* The names between commas. */
const lses_str *names(const char *value, size_t *count);
lses_str named_text(const words *words, const char *name);
/* A number that may be negative; 0 if it is none. */
int number_of(const char *word, int64_t *out);
/* The code of a word of a vocabulary; 0 if it is none. */
uint32_t code_of(const char *word, const char *(*name)(uint32_t));
#define LEN(str) ((str).data), ((str).len)

/* One delivery to a scripted callback. */
typedef struct delivery {
  struct delivery *next;
  char *what;
  texts notes;
} delivery;

/* A label may be given again: then all ids that it had are its. */
typedef struct known_id {
  struct known_id *next;
  char id[LSES_ID_SIZE];
  struct session *session;
} known_id;

typedef struct session {
  struct session *next;
  char *label;
  char id[LSES_ID_SIZE]; /* the newest; "" until it is known */
  int ordered;           /* named by a create or begin_new */
  delivery *first, *last;
  size_t told_events, told_log;
} session;

typedef struct named_thing {
  struct named_thing *next;
  char *name;
  char *text;             /* a token; the session label of a request */
  lses_request *request;
  lses_ticket *ticket;
  uint64_t number;        /* a version, a cursor, a count */
  size_t hanging;         /* callbacks of this class that hang */
} named_thing;

typedef struct entry {
  char *session, *text;
} entry;

typedef struct started {
  struct started *next;
  char *name;
  char **items;
  size_t count;
  pthread_t thread;
  int finished; /* atomic */
  answer result;
} started;

typedef struct world {
  pthread_mutex_t lock;
  pthread_cond_t released;
  const char *table;
  lses_clock *clock;
  lses_config *config;   /* until the manager was opened, or could not be */
  lses_manager *manager;
  texts classes;         /* `class` lines of the setup, as arrays of words */
  session *sessions, *sessions_end;
  known_id *ids;
  named_thing *tokens, *requests, *versions, *calls, *told_audit, *cursors, *releases, *tickets;
  char *creating;
  struct entry *entries;
  size_t entry_count, entry_room, told_log;
  uint64_t lifecycle_seq;
  uint64_t hung, released_all;
  texts asked;           /* users whose groups were asked for since last told */
  int over;
  started *started;
} world;

extern world *the;

void world_begin(const char *table);
/* Ends the script: nothing hangs any more, and the manager is closed. */
void world_end(void);
char *world_log(void);
void lock_world(void);
void unlock_world(void);
/* Opens the manager at its first use. `out->text` is NULL if that worked. */
int opened(answer *out);
void settle(void);

/* Under the lock: */
session *session_named(const char *label, int make);
session *session_with(const char *id);
void know(session *session, const char *id);
named_thing *thing(named_thing **list, const char *name, int make);

void creating(const char *label);
void created(const char *label, const char *id, const char *token);
void renewed(const char *label, const char *token);
char *label_of(const char *id);
/* The id of a session label; NULL if there is none. */
char *id_of(const char *label);
lses_request *request_of(const char *label, char **session_label);
char *with_labels(const char *text);
delivery *delivered(const char *session_id, const char *class_name, uint32_t kind, char *what, char **label);
void dropped(const char *session_id, char *what);
void note(delivery *to, char *text);
/* Hangs until a release that comes after this; tells the event's engine. */
void hang(const char *class_name, const lses_event *event);
/* Lets hanging callbacks go on (of all classes: NULL); returns when they have. */
void release(const char *class_name);
texts deliveries(const char *label, size_t from);
const char *class_name(const char *name_space, const char *name);

/* Does a line of words. */
answer do_words(char **items, size_t count);
/* The setup's lines; 0: it is a verb. */
int setup_line(char **items, size_t count, answer *out);
/* How many registered classes have not been let go of. */
int classes_in_use(void);
/* Registers a class as a `class` line describes it. */
answer register_class(char **items, size_t count);

/* Whether calls that may wait do so in an event loop. */
extern int with_loop;
lses_status call_create(const lses_create_options *options, char *token, char *id);
lses_status call_begin_new(const lses_create_options *create, const lses_begin_options *begin, lses_request **request);
lses_status call_begin(lses_str token, const lses_begin_options *options, lses_request **request);
/* `denied`: why there was no trade (LSES_DENY_REASON_...), or 0. */
lses_status call_login(lses_request *request, lses_str user, const lses_login_options *options, char *token,
                       uint32_t *denied);
lses_status call_trade(lses_request *request, const lses_login_options *options);
lses_status call_take_feature(lses_request *request, lses_str pool, const lses_feature_options *options);
/* `receipt`: what it said, or NULL. */
lses_status call_end(const char *id, const lses_end_options *options, json **receipt);
lses_status call_end_request(lses_request *request, const lses_end_options *options, json **receipt);
lses_status call_logout(lses_request *request, int32_t force, char *token, json **receipt);
lses_status call_lock(lses_request *request, uint32_t mode, int64_t timeout_ms);

/* The rooms of verbs; 0: not there. */
int session_verb(const char *verb, const words *words, answer *out);
int request_verb(const char *verb, const words *words, answer *out);
int look_verb(const char *verb, const words *words, answer *out);
int pool_verb(const char *verb, const words *words, answer *out);
int queue_verb(const char *verb, const words *words, answer *out);
int manage_verb(const char *verb, char **rest, size_t count, const words *words, answer *out);

/* A value as JSON, or `none`. */
char *value_text(const lses_value *value);
/* What an end says. */
char *receipt_text(const json *receipt);
/* The options of a call that waits for units. NULL: fine, else why not. */
const char *read_queue(const words *words, int64_t *wait_ms, int64_t *priority, lses_ticket **ticket);
/* A filter; texts last as long as the script. NULL: fine, else why not. */
const char *read_filter(const words *words, lses_filter *filter);

#endif
