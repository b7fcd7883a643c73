/* Reads JSON where it lies: nothing is copied or allocated, and a value is a piece of the text.
 *
 *   json given = json_read(text.data, text.size);
 *   if (!json_number(json_member(given, "rate"), &rate)) ..
 *
 * What is absent, of another kind or no JSON at all is json_none, of which every question is answered by "no". */
#ifndef PLUGIN_JSON_H
#define PLUGIN_JSON_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct json {
  const char* at; /* the value's first character; NULL: there is none */
  const char* end;
} json;

static const json json_none = {NULL, NULL};

enum { json_deepest = 256 }; /* which is also the most that crosses the boundary */

static inline const char* json_blank(const char* at, const char* end) {
  while (at < end && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r')) ++at;
  return at;
}

static inline int json_is_digit(const char* at, const char* end) { return at < end && *at >= '0' && *at <= '9'; }

/* Each of these is given where something begins, and returns where it ends, or NULL. */
static inline const char* json_skip_text(const char* at, const char* end) {
  for (++at; at < end && *at != '"'; ++at) {
    if ((unsigned char)*at < 0x20) return NULL;
    if (*at == '\\' && ++at == end) return NULL;
  }
  return at < end ? at + 1 : NULL;
}

static inline const char* json_skip_digits(const char* at, const char* end) {
  if (!json_is_digit(at, end)) return NULL;
  while (json_is_digit(at, end)) ++at;
  return at;
}

static inline const char* json_skip_number(const char* at, const char* end) {
  if (at < end && *at == '-') ++at;
  at = json_skip_digits(at, end);
  if (at != NULL && at < end && *at == '.') at = json_skip_digits(at + 1, end);
  if (at != NULL && at < end && (*at == 'e' || *at == 'E')) {
    ++at;
    if (at < end && (*at == '+' || *at == '-')) ++at;
    at = json_skip_digits(at, end);
  }
  return at;
}

static inline const char* json_skip_word(const char* at, const char* end) {
  static const char* const words[] = {"true", "false", "null"};
  size_t i;
  for (i = 0; i < sizeof words / sizeof *words; ++i) {
    const size_t size = strlen(words[i]);
    if ((size_t)(end - at) >= size && memcmp(at, words[i], size) == 0) return at + size;
  }
  return NULL;
}

static inline const char* json_skip(const char* at, const char* end, int depth) {
  char closing;
  int items = 0;
  if (at == end || depth > json_deepest) return NULL;
  if (*at == '"') return json_skip_text(at, end);
  if (*at == '-' || json_is_digit(at, end)) return json_skip_number(at, end);
  if (*at != '{' && *at != '[') return json_skip_word(at, end);
  closing = *at == '{' ? '}' : ']';
  for (;; ++items) {
    at = json_blank(at + 1, end);
    if (items == 0 && at < end && *at == closing) return at + 1;
    if (closing == '}') {
      if (at == end || *at != '"' || (at = json_skip_text(at, end)) == NULL) return NULL;
      at = json_blank(at, end);
      if (at == end || *at != ':') return NULL;
      at = json_blank(at + 1, end);
    }
    at = json_skip(at, end, depth + 1);
    if (at == NULL) return NULL;
    at = json_blank(at, end);
    if (at < end && *at == closing) return at + 1;
    if (at == end || *at != ',') return NULL;
  }
}

/* The value that the whole of a text is; none where it is no JSON. */
static inline json json_read(const char* text, uint64_t size) {
  json value;
  const char* end = text + size;
  value.at = json_blank(text, end);
  value.end = json_skip(value.at, end, 1);
  return value.end != NULL && json_blank(value.end, end) == end ? value : json_none;
}

/* Items of a list, or members of an object, one after the other: 0 when there are no more. Begin with json_none; `name`
 * may be NULL.
 *
 *   for (item = json_none; json_next(list, NULL, &item);) .. */
static inline int json_next(json whole, json* name, json* item) {
  const char* at;
  const int named = whole.at != NULL && *whole.at == '{';
  if (whole.at == NULL || (*whole.at != '[' && !named)) return 0;
  at = json_blank(item->at == NULL ? whole.at + 1 : item->end, whole.end);
  if (item->at != NULL && *at == ',') at = json_blank(at + 1, whole.end);
  if (*at == ']' || *at == '}') return 0;
  if (named) {
    const char* from = at;
    at = json_skip_text(at, whole.end);
    if (name != NULL) *name = (json){from, at};
    at = json_blank(json_blank(at, whole.end) + 1, whole.end);
  }
  item->at = at;
  item->end = json_skip(at, whole.end, 1);
  return 1;
}

/* Whether a value is this text. Texts are compared as they are written: who writes JSON escapes a name the same way
 * each time, and letters not at all. */
static inline int json_is_text(json value, const char* text) {
  const size_t size = strlen(text);
  return value.at != NULL && *value.at == '"' && (size_t)(value.end - value.at) == size + 2 &&
         memcmp(value.at + 1, text, size) == 0;
}

static inline int json_same_text(json a, json b) {
  return a.at != NULL && b.at != NULL && *a.at == '"' && a.end - a.at == b.end - b.at &&
         memcmp(a.at, b.at, (size_t)(a.end - a.at)) == 0;
}

/* An object's member. */
static inline json json_member(json object, const char* name) {
  json given;
  json member = json_none;
  if (object.at == NULL || *object.at != '{') return json_none;
  while (json_next(object, &given, &member)) {
    if (json_is_text(given, name)) return member;
  }
  return json_none;
}

/* Whether it is a number, and which. */
static inline int json_number(json value, double* number) {
  char copy[64]; /* terminated, as strtod wants it */
  const size_t size = (size_t)(value.end - value.at);
  if (value.at == NULL || size >= sizeof copy || (*value.at != '-' && !json_is_digit(value.at, value.end))) return 0;
  memcpy(copy, value.at, size);
  copy[size] = '\0';
  *number = strtod(copy, NULL);
  return 1;
}

#endif
