/* The header by itself: it can be included twice, its structs are the library's, its numbers are those of this library. */
/* For contract.h, which comes second here: the header must stand alone. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "sockeye.h"
#include "sockeye.h"

#include "contract.h"

static void structs_have_the_librarys_size(void)
{
    GIVES("size of sockeye_event", sizeof(sockeye_event), (int64_t)sockeye_struct_size(SOCKEYE_STRUCT_EVENT));
    GIVES("size of sockeye_options", sizeof(sockeye_options), (int64_t)sockeye_struct_size(SOCKEYE_STRUCT_OPTIONS));
    GIVES("size of sockeye_emission", sizeof(sockeye_emission), (int64_t)sockeye_struct_size(SOCKEYE_STRUCT_EMISSION));
    GIVES("size of sockeye_target", sizeof(sockeye_target), (int64_t)sockeye_struct_size(SOCKEYE_STRUCT_TARGET));
    GIVES("size of sockeye_op", sizeof(sockeye_op), (int64_t)sockeye_struct_size(SOCKEYE_STRUCT_OP));
    GIVES("size of sockeye_socket_info", sizeof(sockeye_socket_info), (int64_t)sockeye_struct_size(SOCKEYE_STRUCT_SOCKET_INFO));
    GIVES("size of sockeye_queue_options", sizeof(sockeye_queue_options), (int64_t)sockeye_struct_size(SOCKEYE_STRUCT_QUEUE_OPTIONS));
    GIVES("size of sockeye_nsp_options", sizeof(sockeye_nsp_options), (int64_t)sockeye_struct_size(SOCKEYE_STRUCT_NSP_OPTIONS));
    GIVES("size of sockeye_drain_options", sizeof(sockeye_drain_options), (int64_t)sockeye_struct_size(SOCKEYE_STRUCT_DRAIN_OPTIONS));
    GIVES("size of sockeye_connection", sizeof(sockeye_connection), (int64_t)sockeye_struct_size(SOCKEYE_STRUCT_CONNECTION));
    GIVES("size of sockeye_header", sizeof(sockeye_header), (int64_t)sockeye_struct_size(SOCKEYE_STRUCT_HEADER));
    GIVES("size of sockeye_http_request", sizeof(sockeye_http_request), (int64_t)sockeye_struct_size(SOCKEYE_STRUCT_HTTP_REQUEST));
    GIVES("size of sockeye_http_answer", sizeof(sockeye_http_answer), (int64_t)sockeye_struct_size(SOCKEYE_STRUCT_HTTP_ANSWER));
    GIVES("size of sockeye_broker", sizeof(sockeye_broker), (int64_t)sockeye_struct_size(SOCKEYE_STRUCT_BROKER));
    GIVES("size of sockeye_metrics", sizeof(sockeye_metrics), (int64_t)sockeye_struct_size(SOCKEYE_STRUCT_METRICS));
    GIVES("size of sockeye_queue_metrics", sizeof(sockeye_queue_metrics), (int64_t)sockeye_struct_size(SOCKEYE_STRUCT_QUEUE_METRICS));
    GIVES("size of sockeye_emitter_target", sizeof(sockeye_emitter_target), (int64_t)sockeye_struct_size(SOCKEYE_STRUCT_EMITTER_TARGET));
    GIVES("size of sockeye_emitter_state", sizeof(sockeye_emitter_state), (int64_t)sockeye_struct_size(SOCKEYE_STRUCT_EMITTER_STATE));
    GIVES("size of a packed record", 64, (int64_t)sockeye_struct_size(SOCKEYE_STRUCT_PACKED));
    GIVES("an unknown struct has size 0", 0, (int64_t)sockeye_struct_size(4711));
}

static void versions_and_error_names(void)
{
    GIVES("the library's ABI is the header's", SOCKEYE_ABI, sockeye_abi());
    CHECK("there is a version", sockeye_version() > 0 && sockeye_version() <= 0xffffff);
    CHECK("name of SOCKEYE_OK", strcmp(sockeye_error_name(SOCKEYE_OK), "SOCKEYE_OK") == 0);
    CHECK("name of SOCKEYE_ERR_STALE", strcmp(sockeye_error_name(SOCKEYE_ERR_STALE), "SOCKEYE_ERR_STALE") == 0);
    int named = 0;
    for (sockeye_result code = SOCKEYE_ERR_INTERNAL; code < 0; code++)
        named += strncmp(sockeye_error_name(code), "SOCKEYE_ERR_", 12) == 0;
    GIVES("every error code has a name", -SOCKEYE_ERR_INTERNAL, named);
    CHECK("an unknown code has some name", sockeye_error_name(-4711) != NULL && sockeye_error_name(4711) != NULL);
    CHECK("there is always a last error to read", sockeye_last_error() != NULL);
}

int main(void)
{
    structs_have_the_librarys_size();
    versions_and_error_names();
    return contract_report();
}
