/* The addon's entry, and the short forms that its files share. */
#include "addon.h"

#include <stdlib.h>
#include <string.h>

napi_value throw_last(napi_env env, sockeye_result code)
{
    napi_throw_error(env, sockeye_error_name(code), sockeye_last_error());
    return NULL;
}

int arguments(napi_env env, napi_callback_info info, size_t count, napi_value *values)
{
    size_t given = count;
    if (napi_get_cb_info(env, info, &given, values, NULL, NULL) != napi_ok || given < count) {
        napi_throw_type_error(env, NULL, "too few arguments");
        return 0;
    }
    return 1;
}

uint32_t number_of(napi_env env, napi_value value)
{
    uint32_t number = 0;
    if (napi_get_value_uint32(env, value, &number) != napi_ok)
        napi_throw_type_error(env, NULL, "a number is wanted");
    return number;
}

uint64_t id_of(napi_env env, napi_value low, napi_value high)
{
    return (uint64_t)number_of(env, low) | (uint64_t)number_of(env, high) << 32;
}

int is_nothing(napi_env env, napi_value value)
{
    napi_valuetype type = napi_undefined;
    napi_typeof(env, value, &type);
    return type == napi_undefined || type == napi_null;
}

char *text_of(napi_env env, napi_value value, size_t *len)
{
    char *text;
    *len = 0;
    if (is_nothing(env, value))
        return NULL;
    if (napi_get_value_string_utf8(env, value, NULL, 0, len) != napi_ok) {
        napi_throw_type_error(env, NULL, "a string is wanted");
        return NULL;
    }
    text = malloc(*len + 1);
    if (text)
        napi_get_value_string_utf8(env, value, text, *len + 1, len);
    else
        napi_throw_error(env, NULL, "out of memory");
    return text;
}

int bytes_of(napi_env env, napi_value value, void **data, size_t *len)
{
    *data = NULL;
    *len = 0;
    if (is_nothing(env, value))
        return 1;
    if (napi_get_buffer_info(env, value, data, len) == napi_ok)
        return 1;
    napi_throw_type_error(env, NULL, "a Buffer is wanted");
    return 0;
}

napi_value number(napi_env env, double value)
{
    napi_value result = NULL;
    napi_create_double(env, value, &result);
    return result;
}

void export_function(napi_env env, napi_value exports, const char *name, napi_callback function)
{
    napi_value value;
    if (napi_create_function(env, name, NAPI_AUTO_LENGTH, function, NULL, &value) == napi_ok)
        napi_set_named_property(env, exports, name, value);
}

NAPI_MODULE_INIT()
{
    /* A library of another layout would misread what the addon writes. */
    if (sockeye_struct_size(SOCKEYE_STRUCT_PACKED) != sizeof(sockeye_packed) ||
        sockeye_struct_size(SOCKEYE_STRUCT_OP) != sizeof(sockeye_op)) {
        napi_throw_error(env, NULL, "sockeye: the addon was built against another version of the library");
        return NULL;
    }
    engine_exports(env, exports);
    submit_exports(env, exports);
    guest_exports(env, exports);
    door_exports(env, exports);
    cluster_exports(env, exports);
    emitter_exports(env, exports);
    return exports;
}
