/* A double of Windows' tbs.dll for the tests: the functions of tbs.h (Win32 API, TPM Base Services) that the agent calls,
 * which hand commands to a software TPM over TCP. The same file is a shared library on Linux and a DLL on Windows.
 *
 *   TROTH_TEST_TBS_PORT       the software TPM's port on 127.0.0.1
 *   TROTH_TEST_TBS_RESULT     a TBS_RESULT that Tbsip_Submit_Command gives in place of an answer
 *   TROTH_TEST_TBS_NO_TPM     if set: there is no TPM
 *   TROTH_TEST_TBS_OWNER, TROTH_TEST_TBS_ENDORSEMENT  the hierarchies' passwords, if "Windows has kept them"
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef _WIN32
#include <winsock2.h>
#define DLL __declspec(dllexport)
typedef SOCKET channel;
#define BROKEN INVALID_SOCKET
#else
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#define DLL
#define closesocket close
typedef int channel;
#define BROKEN (-1)
#endif

enum {
    SUCCESS = 0,
    BAD_PARAMETER = 0x80284002u,
    INVALID_CONTEXT = 0x80284004u,
    INSUFFICIENT_BUFFER = 0x80284005u,
    IOERROR = 0x80284006u,
    INVALID_CONTEXT_PARAM = 0x80284007u,
    TPM_NOT_FOUND = 0x8028400Fu,
    OWNERAUTH_NOT_FOUND = 0x80284015u
};
struct params2 { uint32_t version, flags; };
struct info { uint32_t version, tpm_version, interface_type, revision; };
struct context { channel to; };

DLL uint32_t Tbsi_GetDeviceInfo(uint32_t size, void *found)
{
    struct info info = {1, 2, 5, 0};
    if (getenv("TROTH_TEST_TBS_NO_TPM"))
        return TPM_NOT_FOUND;
    if (size != sizeof info || !found)
        return BAD_PARAMETER;
    memcpy(found, &info, sizeof info);
    return SUCCESS;
}

DLL uint32_t Tbsi_Context_Create(const struct params2 *params, void **context)
{
    const char *port = getenv("TROTH_TEST_TBS_PORT");
    struct sockaddr_in where = {0};
    struct context *made;
#ifdef _WIN32
    WSADATA data;
    WSAStartup(MAKEWORD(2, 2), &data);
#endif
    if (!params || params->version != 2 || !(params->flags & 4)) /* version two, includeTpm20 */
        return INVALID_CONTEXT_PARAM;
    if (!port || !(made = malloc(sizeof *made)))
        return TPM_NOT_FOUND;
    where.sin_family = AF_INET;
    where.sin_port = htons((uint16_t)atoi(port));
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    made->to = socket(AF_INET, SOCK_STREAM, 0);
    if (made->to == BROKEN || connect(made->to, (struct sockaddr *)&where, sizeof where)) {
        free(made);
        return TPM_NOT_FOUND;
    }
    *context = made;
    return SUCCESS;
}

static int take(channel from, uint8_t *into, uint32_t count)
{
    uint32_t got = 0;
    while (got < count) {
        int more = (int)recv(from, (char *)into + got, (int)(count - got), 0);
        if (more <= 0)
            return 0;
        got += (uint32_t)more;
    }
    return 1;
}

DLL uint32_t Tbsip_Submit_Command(void *given, uint32_t locality, uint32_t priority, const uint8_t *command,
                                  uint32_t size, uint8_t *answer, uint32_t *room)
{
    struct context *context = given;
    const char *result = getenv("TROTH_TEST_TBS_RESULT");
    uint32_t count;
    if (!context)
        return INVALID_CONTEXT;
    if (result && *result)
        return (uint32_t)strtoul(result, NULL, 0);
    if (locality != 0 || priority != 200 || !command || !answer || !room || *room < 10)
        return BAD_PARAMETER;
    if (send(context->to, (const char *)command, (int)size, 0) != (int)size || !take(context->to, answer, 10))
        return IOERROR;
    count = (uint32_t)answer[2] << 24 | (uint32_t)answer[3] << 16 | (uint32_t)answer[4] << 8 | answer[5];
    if (count > *room)
        return INSUFFICIENT_BUFFER;
    if (count < 10 || !take(context->to, answer + 10, count - 10))
        return IOERROR;
    *room = count;
    return SUCCESS;
}

DLL uint32_t Tbsi_Get_OwnerAuth(void *context, uint32_t type, uint8_t *password, uint32_t *room)
{
    /* TBS_OWNERAUTH_TYPE_ENDORSEMENT_20, TBS_OWNERAUTH_TYPE_STORAGE_20 */
    const char *kept = type == 12 ? getenv("TROTH_TEST_TBS_ENDORSEMENT") : type == 13 ? getenv("TROTH_TEST_TBS_OWNER") : NULL;
    if (!context)
        return INVALID_CONTEXT;
    if (!kept)
        return OWNERAUTH_NOT_FOUND;
    if (strlen(kept) > *room)
        return INSUFFICIENT_BUFFER;
    *room = (uint32_t)strlen(kept);
    memcpy(password, kept, *room);
    return SUCCESS;
}

DLL uint32_t Tbsip_Context_Close(void *given)
{
    struct context *context = given;
    if (!context)
        return INVALID_CONTEXT;
    closesocket(context->to);
    free(context);
    return SUCCESS;
}
