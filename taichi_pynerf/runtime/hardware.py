"""This machine's hardware: the processors that this process may use, memory, Vulkan devices."""

import ctypes
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def available_cpus() -> int:
    """Number of processors that this process may use, at least 1.

    The least of the machine's count, the affinity of the process (`taskset`, batch systems) and the
    quota of its control group (containers), divided among the processes of `torchrun` here.
    """
    count = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        count = min(count, len(os.sched_getaffinity(0)))
    quota = _cgroup_quota(_CGROUP)
    count = count if quota is None else min(count, round(quota))
    return max(1, count // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def _cgroup_quota(root: Path) -> float | None:
    """Processors that the control group grants, version 2 or 1; None if it sets no limit."""
    try:
        limit, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            limit, period = (
                (root / "cpu" / name).read_text()
                for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            )
        except OSError:
            return None
    try:
        quota = int(limit) / int(period)
    except ValueError:  # "max"
        return None
    return quota if quota > 0 else None  # version 1 writes -1 for no limit


def cpu_name() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def memory_bytes() -> int | None:
    """The machine's main memory in bytes; None if the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


# ---- Vulkan -----------------------------------------------------------------------------------

_KINDS = ("other", "integrated GPU", "discrete GPU", "virtual GPU", "processor")
_BEST_FIRST = ("discrete GPU", "integrated GPU", "virtual GPU", "processor", "other")


@dataclass(frozen=True)
class VulkanDevice:
    """A Vulkan device: its name, kind, Vulkan version, driver version and own memory in bytes."""

    name: str
    kind: str
    api_version: str
    driver_version: str
    memory_bytes: int


class _InstanceCreateInfo(ctypes.Structure):
    _fields_ = (
        ("sType", ctypes.c_uint32), ("pNext", ctypes.c_void_p), ("flags", ctypes.c_uint32),
        ("pApplicationInfo", ctypes.c_void_p),
        ("enabledLayerCount", ctypes.c_uint32), ("ppEnabledLayerNames", ctypes.c_void_p),
        ("enabledExtensionCount", ctypes.c_uint32), ("ppEnabledExtensionNames", ctypes.c_void_p),
    )  # fmt: skip


class _PropertiesHead(ctypes.Structure):
    """The first fields of VkPhysicalDeviceProperties, with room for the rest."""

    _fields_ = (
        ("apiVersion", ctypes.c_uint32), ("driverVersion", ctypes.c_uint32),
        ("vendorID", ctypes.c_uint32), ("deviceID", ctypes.c_uint32),
        ("deviceType", ctypes.c_uint32), ("deviceName", ctypes.c_char * 256),
        ("rest", ctypes.c_uint8 * 4096),
    )  # fmt: skip


class _MemoryHeap(ctypes.Structure):
    _fields_ = (("size", ctypes.c_uint64), ("flags", ctypes.c_uint32))


class _MemoryProperties(ctypes.Structure):
    _fields_ = (
        ("memoryTypeCount", ctypes.c_uint32), ("memoryTypes", ctypes.c_uint32 * 64),
        ("memoryHeapCount", ctypes.c_uint32), ("memoryHeaps", _MemoryHeap * 16),
    )  # fmt: skip


def vulkan_devices() -> list[VulkanDevice]:
    """The Vulkan devices of this machine, best first; none if there is no loader or driver."""
    names = {"win32": "vulkan-1.dll", "darwin": "libvulkan.1.dylib"}
    try:
        vulkan = ctypes.CDLL(names.get(sys.platform, "libvulkan.so.1"))
    except OSError:
        return []
    instance = ctypes.c_void_p()
    info = _InstanceCreateInfo(sType=1)  # VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO
    if vulkan.vkCreateInstance(ctypes.byref(info), None, ctypes.byref(instance)) != 0:
        return []
    try:
        count = ctypes.c_uint32()
        if vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None) != 0:
            return []
        handles = (ctypes.c_void_p * count.value)()
        vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), handles)
        devices = [_vulkan_device(vulkan, ctypes.c_void_p(handle)) for handle in handles]
    finally:
        vulkan.vkDestroyInstance(instance, None)
    return sorted(devices, key=lambda device: _BEST_FIRST.index(device.kind))


def _vulkan_device(vulkan: ctypes.CDLL, handle: ctypes.c_void_p) -> VulkanDevice:
    head, memory = _PropertiesHead(), _MemoryProperties()
    vulkan.vkGetPhysicalDeviceProperties(handle, ctypes.byref(head))
    vulkan.vkGetPhysicalDeviceMemoryProperties(handle, ctypes.byref(memory))
    heaps = memory.memoryHeaps[: memory.memoryHeapCount]
    device_local = 1
    return VulkanDevice(
        name=head.deviceName.decode(errors="replace"),
        kind=_KINDS[head.deviceType] if head.deviceType < len(_KINDS) else "other",
        api_version=_version(head.apiVersion),
        driver_version=_version(head.driverVersion),
        memory_bytes=sum(heap.size for heap in heaps if heap.flags & device_local),
    )


def _version(packed: int) -> str:
    """A version in Vulkan's packing of major, minor and patch; drivers may pack differently."""
    return f"{packed >> 22 & 0x7F}.{packed >> 12 & 0x3FF}.{packed & 0xFFF}"
