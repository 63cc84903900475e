/* What takes memory to be turned from JavaScript into C: lists of texts, events with their arguments. */
#include "addon.h"

#include <stdlib.h>

napi_value outcome(napi_env env, sockeye_result result)
{
    return result < 0 ? throw_last(env, result) : NULL;
}

void texts_free(struct texts *texts)
{
    for (size_t i = 0; i < texts->count; i++)
        free((void *)texts->items[i].ptr);
    free(texts->items);
    *texts = (struct texts){0};
}

int texts_of(napi_env env, napi_value list, struct texts *texts)
{
    uint32_t count = 0;
    *texts = (struct texts){0};
    if (napi_get_array_length(env, list, &count) != napi_ok) {
        napi_throw_type_error(env, NULL, "an array is wanted");
        return 0;
    }
    if (!(texts->items = calloc(count ? count : 1, sizeof *texts->items))) {
        napi_throw_error(env, NULL, "out of memory");
        return 0;
    }
    while (texts->count < count) {
        napi_value value;
        sockeye_bytes *item = &texts->items[texts->count];
        napi_get_element(env, list, (uint32_t)texts->count, &value);
        if (is_nothing(env, value))
            napi_throw_type_error(env, NULL, "a string is wanted");
        else
            item->ptr = text_of(env, value, &item->len);
        if (!item->ptr) {
            texts_free(texts);
            return 0;
        }
        texts->count++;
    }
    return 1;
}

void event_free(struct event *event)
{
    free((void *)event->emission.name_ptr);
    free((void *)event->emission.data);
    free(event->attachments);
    *event = (struct event){0};
}

static int attachments_of(napi_env env, napi_value list, struct event *event)
{
    uint32_t count = 0;
    if (napi_get_array_length(env, list, &count) != napi_ok)
        return 0;
    if (!(event->attachments = calloc(count ? count : 1, sizeof *event->attachments)))
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        napi_value value;
        void *data;
        napi_get_element(env, list, i, &value);
        if (!bytes_of(env, value, &data, &event->attachments[i].len))
            return 0;
        event->attachments[i].ptr = data;
    }
    event->emission.attachments = event->attachments;
    event->emission.attachment_count = count;
    return 1;
}

int event_of(napi_env env, const napi_value *values, struct event *event)
{
    bool thrown = false;
    *event = (struct event){.emission = {.size = sizeof event->emission}};
    event->emission.name_ptr = text_of(env, values[0], &event->emission.name_len);
    event->emission.data = event->emission.name_ptr ? text_of(env, values[1], &event->emission.data_len) : NULL;
    if (event->emission.data && attachments_of(env, values[2], event))
        return 1;
    event_free(event);
    napi_is_exception_pending(env, &thrown);
    if (!thrown)
        napi_throw_type_error(env, NULL, "an event is wanted: a name, its arguments as JSON, and an array of Buffers");
    return 0;
}
