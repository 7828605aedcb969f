using System.Runtime.InteropServices;

namespace StorageDaemon.Shell.Crypto;

/// <summary>gnutls_datum_t (gnutls/gnutls.h).</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct GnuTlsDatum
{
    internal byte* Data;
    internal uint Size;
}

/// <summary>
/// GnuTLS, which is loaded at the first call and not before: a daemon without secrets and TLS does not need it. Where it
/// is missing, the call throws <see cref="System.DllNotFoundException"/>. Results below zero are its error codes.
/// </summary>
internal static unsafe partial class GnuTls
{
    internal const string Name = "libgnutls.so.30";
    internal const int GNUTLS_CIPHER_AES_256_CBC = 5;

    [LibraryImport(Name, EntryPoint = "gnutls_cipher_init")]
    internal static partial int CipherInit(nint* handle, int cipher, GnuTlsDatum* key, GnuTlsDatum* iv);

    /// <summary>Decrypts whole blocks in place.</summary>
    [LibraryImport(Name, EntryPoint = "gnutls_cipher_decrypt")]
    internal static partial int CipherDecrypt(nint handle, void* text, nuint length);

    [LibraryImport(Name, EntryPoint = "gnutls_cipher_deinit")]
    internal static partial void CipherDeinit(nint handle);

    [LibraryImport(Name, EntryPoint = "gnutls_strerror")]
    private static partial byte* StrerrorRaw(int error);

    /// <summary>The library's text for an error code.</summary>
    internal static string Strerror(int error) => Marshal.PtrToStringUTF8((nint)StrerrorRaw(error)) ?? "";
}
