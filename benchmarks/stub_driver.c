/* A CUDA driver that is none: enough for Taichi to compile kernels where there is no card.
 *
 * Memory is the processor's, launches do nothing, and what would be loaded onto a card, PTX, is
 * written into the folder that STUB_PTX names. `benchmarks/ptx_report.py` builds and uses it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HANDLE ((void *)8)
#define NOTHING(name) int name(void) { return 0; }

int cuInit(unsigned flags) { return 0; }
int cuDriverGetVersion(int *version) { *version = 12000; return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int number) { *device = 0; return 0; }
int cuDeviceGetName(char *name, int length, int device) { strncpy(name, "stub", length); return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  switch (attribute) {
    case 1: *value = 1024; break;    /* threads of a block */
    case 8: *value = 49152; break;   /* shared memory of a block */
    case 16: *value = 132; break;    /* multiprocessors */
    case 75: *value = 8; break;      /* compute capability 8.6, the highest that Taichi 1.7 uses */
    case 76: *value = 6; break;
    case 97: *value = 101376; break; /* shared memory of a block that asks for more */
    default: *value = 1;
  }
  return 0;
}
int cuDevicePrimaryCtxRetain(void **context, int device) { *context = HANDLE; return 0; }
int cuCtxCreate_v2(void **context, unsigned flags, int device) { *context = HANDLE; return 0; }
int cuCtxGetCurrent(void **context) { *context = HANDLE; return 0; }
int cuStreamCreate(void **stream, unsigned flags) { *stream = HANDLE; return 0; }
int cuEventCreate(void **event, unsigned flags) { *event = HANDLE; return 0; }
int cuGetErrorName(int error, const char **name) { *name = "error of the stub"; return 0; }
int cuGetErrorString(int error, const char **text) { *text = "error of the stub"; return 0; }
int cuFuncGetAttribute(int *value, int attribute, void *function) { *value = 32; return 0; }
int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *count, void *function, int size, size_t memory) {
  *count = 2;
  return 0;
}
int cuPointerGetAttribute(void *value, int attribute, void *pointer) { return 1; /* not a card's */ }

int cuMemGetInfo_v2(size_t *available, size_t *total) { *available = *total = 1ul << 31; return 0; }
int cuMemAlloc_v2(void **pointer, size_t size) { *pointer = calloc(1, size); return 0; }
int cuMemAllocManaged(void **pointer, size_t size, unsigned flags) { return cuMemAlloc_v2(pointer, size); }
int cuMemAllocAsync(void **pointer, size_t size, void *stream) { return cuMemAlloc_v2(pointer, size); }
static int copy(void *to, const void *from, size_t size) {
  if (to && from) memcpy(to, from, size);
  return 0;
}
int cuMemcpyHtoD_v2(void *to, void *from, size_t size) { return copy(to, from, size); }
int cuMemcpyDtoH_v2(void *to, void *from, size_t size) { return copy(to, from, size); }
int cuMemcpyDtoD_v2(void *to, void *from, size_t size) { return copy(to, from, size); }
int cuMemcpyHtoDAsync_v2(void *to, void *from, size_t size, void *stream) { return copy(to, from, size); }
int cuMemcpyDtoHAsync_v2(void *to, void *from, size_t size, void *stream) { return copy(to, from, size); }

int cuModuleLoadDataEx(void **module, const char *ptx, unsigned count, void *options, void *values) {
  static long number = 0;
  char path[4096];
  snprintf(path, sizeof path, "%s/%04ld.ptx", getenv("STUB_PTX"), number++);
  FILE *file = fopen(path, "w");
  if (!file) return 1;
  fputs(ptx, file);
  fclose(file);
  *module = (void *)(number + 16);
  return 0;
}
int cuModuleGetFunction(void **function, void *module, const char *name) { *function = HANDLE; return 0; }

NOTHING(cuCtxGetDevice)
NOTHING(cuCtxSetCurrent)
NOTHING(cuCtxSetLimit)
NOTHING(cuDeviceGetDefaultMemPool)
NOTHING(cuEventDestroy)
NOTHING(cuEventDestroy_v2)
NOTHING(cuEventElapsedTime)
NOTHING(cuEventRecord)
NOTHING(cuEventSynchronize)
NOTHING(cuExternalMemoryGetMappedBuffer)
NOTHING(cuExternalMemoryGetMappedMipmappedArray)
NOTHING(cuFuncSetAttribute)
NOTHING(cuImportExternalMemory)
NOTHING(cuImportExternalSemaphore)
NOTHING(cuLaunchKernel)
NOTHING(cuMemAdvise)
NOTHING(cuMemFreeAsync)
NOTHING(cuMemFree_v2)
NOTHING(cuMemPoolSetAttribute)
NOTHING(cuMemcpyAsync)
NOTHING(cuMemsetD32_v2)
NOTHING(cuMemsetD8_v2)
NOTHING(cuMipmappedArrayGetLevel)
NOTHING(cuSignalExternalSemaphoresAsync)
NOTHING(cuStreamSynchronize)
NOTHING(cuSurfObjectCreate)
NOTHING(cuWaitExternalSemaphoresAsync)
