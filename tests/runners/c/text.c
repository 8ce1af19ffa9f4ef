/* Texts and JSON of one script. */
#include "text.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct piece {
  struct piece *next;
  max_align_t data[];
} piece;

static piece *pieces;
static pthread_mutex_t pieces_lock = PTHREAD_MUTEX_INITIALIZER;

void *keep(size_t size) {
  piece *new = calloc(1, sizeof(piece) + size);
  if (new == NULL) abort();
  pthread_mutex_lock(&pieces_lock);
  new->next = pieces;
  pieces = new;
  pthread_mutex_unlock(&pieces_lock);
  return new->data;
}

void forget_all(void) {
  pthread_mutex_lock(&pieces_lock);
  while (pieces != NULL) {
    piece *next = pieces->next;
    free(pieces);
    pieces = next;
  }
  pthread_mutex_unlock(&pieces_lock);
}

char *keep_text(const char *text, size_t len) {
  char *copy = keep(len + 1);
  if (len > 0) memcpy(copy, text, len);
  return copy;
}

char *format(const char *how, ...) {
  va_list arguments, again;
  va_start(arguments, how);
  va_copy(again, arguments);
  int len = vsnprintf(NULL, 0, how, arguments);
  va_end(arguments);
  if (len < 0) abort();
  char *text = keep((size_t)len + 1);
  vsnprintf(text, (size_t)len + 1, how, again);
  va_end(again);
  return text;
}

char *replaced(const char *text, const char *part, const char *by) {
  size_t part_len = strlen(part), by_len = strlen(by), count = 0;
  for (const char *at = text; (at = strstr(at, part)) != NULL; at += part_len) count++;
  char *result = keep(strlen(text) + count * by_len + 1), *to = result;
  for (const char *at; (at = strstr(text, part)) != NULL; text = at + part_len) {
    memcpy(to, text, (size_t)(at - text));
    to += at - text;
    memcpy(to, by, by_len);
    to += by_len;
  }
  strcpy(to, text);
  return result;
}

char *one_word(const char *text) {
  char *word = keep_text(text, strlen(text));
  for (char *at = word; *at != '\0'; at++)
    if (*at == ' ' || *at == '\t' || *at == '\n') *at = '_';
  return word;
}

void add(texts *list, char *text) {
  if (list->count == list->room) {
    size_t room = list->room == 0 ? 8 : list->room * 2;
    char **items = keep(room * sizeof *items);
    if (list->count > 0) memcpy(items, list->items, list->count * sizeof *items);
    list->items = items;
    list->room = room;
  }
  list->items[list->count++] = text;
}

char *joined(const texts *list, const char *separator, const char *none) {
  if (list->count == 0) return keep_text(none, strlen(none));
  size_t len = 1;
  for (size_t at = 0; at < list->count; at++) len += strlen(list->items[at]) + strlen(separator);
  char *text = keep(len), *to = text;
  for (size_t at = 0; at < list->count; at++) to += sprintf(to, "%s%s", at == 0 ? "" : separator, list->items[at]);
  return text;
}

texts split(const char *text, char separator) {
  texts parts = {0};
  for (;;) {
    const char *end = strchr(text, separator);
    add(&parts, keep_text(text, end == NULL ? strlen(text) : (size_t)(end - text)));
    if (end == NULL) return parts;
    text = end + 1;
  }
}

static int by_bytes(const void *one, const void *other) {
  return strcmp(*(char *const *)one, *(char *const *)other);
}

void sort(texts *list) {
  if (list->count > 1) qsort(list->items, list->count, sizeof *list->items, by_bytes);
}

/* --- JSON --- */

static void skip_blanks(const char **at) {
  while (**at == ' ' || **at == '\t' || **at == '\n' || **at == '\r') (*at)++;
}

static unsigned hex4(const char *at) {
  unsigned code = 0;
  for (int i = 0; i < 4; i++) {
    char c = at[i];
    unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0')
                     : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                     : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                                            : 16;
    if (digit > 15) return 0x110000;
    code = code * 16 + digit;
  }
  return code;
}

static char *put_utf8(char *to, unsigned code) {
  if (code < 0x80) {
    *to++ = (char)code;
  } else if (code < 0x800) {
    *to++ = (char)(0xc0 | code >> 6);
    *to++ = (char)(0x80 | (code & 63));
  } else if (code < 0x10000) {
    *to++ = (char)(0xe0 | code >> 12);
    *to++ = (char)(0x80 | (code >> 6 & 63));
    *to++ = (char)(0x80 | (code & 63));
  } else {
    *to++ = (char)(0xf0 | code >> 18);
    *to++ = (char)(0x80 | (code >> 12 & 63));
    *to++ = (char)(0x80 | (code >> 6 & 63));
    *to++ = (char)(0x80 | (code & 63));
  }
  return to;
}

/* Reads a text behind its quote. */
static char *read_text(const char **at, size_t *len) {
  const char *end = *at;
  while (*end != '\0' && *end != '"') end += *end == '\\' && end[1] != '\0' ? 2 : 1;
  if (*end != '"') return NULL;
  char *text = keep((size_t)(end - *at) + 1), *to = text;
  while (*at < end) {
    char c = *(*at)++;
    if (c != '\\') {
      *to++ = c;
      continue;
    }
    c = *(*at)++;
    switch (c) {
      case 'n': *to++ = '\n'; break;
      case 't': *to++ = '\t'; break;
      case 'r': *to++ = '\r'; break;
      case 'b': *to++ = '\b'; break;
      case 'f': *to++ = '\f'; break;
      case 'u': {
        if (end - *at < 4) return NULL;
        unsigned code = hex4(*at);
        *at += 4;
        if (code >= 0xd800 && code < 0xdc00 && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u') {
          unsigned low = hex4(*at + 2);
          *at += 6;
          code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        }
        if (code > 0x10ffff) return NULL;
        to = put_utf8(to, code);
        break;
      }
      default: *to++ = c;
    }
  }
  *at = end + 1;
  *len = (size_t)(to - text);
  return text;
}

static json *read_value(const char **at, int depth);

static int read_items(json *value, const char **at, char close, int depth) {
  size_t room = 0;
  skip_blanks(at);
  if (**at == close) {
    (*at)++;
    return 1;
  }
  for (;;) {
    if (value->count == room) {
      room = room == 0 ? 8 : room * 2;
      json **items = keep(room * sizeof *items);
      char **keys = keep(room * sizeof *keys);
      if (value->count > 0) {
        memcpy(items, value->items, value->count * sizeof *items);
        memcpy(keys, value->keys, value->count * sizeof *keys);
      }
      value->items = items;
      value->keys = keys;
    }
    if (close == '}') {
      size_t len;
      skip_blanks(at);
      if (*(*at)++ != '"' || (value->keys[value->count] = read_text(at, &len)) == NULL) return 0;
      skip_blanks(at);
      if (*(*at)++ != ':') return 0;
    }
    if ((value->items[value->count] = read_value(at, depth + 1)) == NULL) return 0;
    value->count++;
    skip_blanks(at);
    char c = *(*at)++;
    if (c == close) return 1;
    if (c != ',') return 0;
  }
}

static json *read_value(const char **at, int depth) {
  if (depth > 300) return NULL;
  skip_blanks(at);
  const char *begin = *at;
  json *value = keep(sizeof *value);
  char c = **at;
  int good = 1;
  if (c == '"') {
    (*at)++;
    value->kind = JSON_TEXT;
    value->text = read_text(at, &value->text_len);
    good = value->text != NULL;
  } else if (c == '[' || c == '{') {
    (*at)++;
    value->kind = c == '[' ? JSON_LIST : JSON_MAP;
    good = read_items(value, at, c == '[' ? ']' : '}', depth);
  } else if (strncmp(*at, "null", 4) == 0) {
    value->kind = JSON_NULL;
    *at += 4;
  } else if (strncmp(*at, "true", 4) == 0) {
    value->kind = JSON_BOOL;
    value->boolean = 1;
    *at += 4;
  } else if (strncmp(*at, "false", 5) == 0) {
    value->kind = JSON_BOOL;
    *at += 5;
  } else {
    size_t len = strspn(*at, "+-0123456789.eE");
    good = len > 0;
    value->kind = memchr(*at, '.', len) || memchr(*at, 'e', len) || memchr(*at, 'E', len) ? JSON_FLOAT : JSON_INT;
    *at += len;
  }
  if (!good) return NULL;
  value->raw = keep_text(begin, (size_t)(*at - begin));
  return value;
}

json *parse_json(const char *text) {
  json *value = read_value(&text, 0);
  if (value == NULL) return NULL;
  skip_blanks(&text);
  return *text == '\0' ? value : NULL;
}

json *member(const json *map, const char *key) {
  if (map == NULL || map->kind != JSON_MAP) return NULL;
  for (size_t at = 0; at < map->count; at++)
    if (strcmp(map->keys[at], key) == 0) return map->items[at];
  return NULL;
}

const char *text_member(const json *map, const char *key, const char *otherwise) {
  json *value = member(map, key);
  return value != NULL && value->kind == JSON_TEXT ? value->text : otherwise;
}

const char *raw_member(const json *map, const char *key, const char *otherwise) {
  json *value = member(map, key);
  return value == NULL || value->kind == JSON_NULL ? otherwise : value->raw;
}

int same_json(const json *one, const json *other, int numeric) {
  if (one == NULL || other == NULL) return 0;
  int numbers = (one->kind == JSON_INT || one->kind == JSON_FLOAT) && (other->kind == JSON_INT || other->kind == JSON_FLOAT);
  if (numbers && (numeric || one->kind == other->kind)) {
    if (strcmp(one->raw, other->raw) == 0) return 1;
    if (one->kind == JSON_INT && other->kind == JSON_INT) return strtoll(one->raw, NULL, 10) == strtoll(other->raw, NULL, 10);
    return strtod(one->raw, NULL) == strtod(other->raw, NULL);
  }
  if (one->kind != other->kind) return 0;
  switch (one->kind) {
    case JSON_NULL: return 1;
    case JSON_BOOL: return one->boolean == other->boolean;
    case JSON_TEXT: return one->text_len == other->text_len && memcmp(one->text, other->text, one->text_len) == 0;
    case JSON_LIST:
    case JSON_MAP:
      if (one->count != other->count) return 0;
      for (size_t at = 0; at < one->count; at++) {
        if (one->kind == JSON_MAP && strcmp(one->keys[at], other->keys[at]) != 0) return 0;
        if (!same_json(one->items[at], other->items[at], numeric)) return 0;
      }
      return 1;
    default: return 0;
  }
}

char *quoted(const char *text, size_t len) {
  char *result = keep(len * 6 + 3), *to = result;
  *to++ = '"';
  for (size_t at = 0; at < len; at++) {
    unsigned char c = (unsigned char)text[at];
    switch (c) {
      case '"': to += sprintf(to, "\\\""); break;
      case '\\': to += sprintf(to, "\\\\"); break;
      case '\n': to += sprintf(to, "\\n"); break;
      case '\r': to += sprintf(to, "\\r"); break;
      case '\t': to += sprintf(to, "\\t"); break;
      case '\b': to += sprintf(to, "\\b"); break;
      case '\f': to += sprintf(to, "\\f"); break;
      default:
        if (c < 0x20) to += sprintf(to, "\\u%04x", c);
        else *to++ = (char)c;
    }
  }
  *to++ = '"';
  *to = '\0';
  return result;
}
