using System;
using StorageDaemon.Shell.Net;

namespace StorageDaemon.Shell.Crypto;

/// <summary>AES-256 in CBC mode (NIST SP 800-38A, 6.2).</summary>
internal static unsafe class AesCbc
{
    /// <summary>Decrypts whole blocks of 16 bytes with a key of 32; padding stays.</summary>
    internal static Outcome<byte[]> Decrypt(byte[] key, byte[] iv, byte[] text)
    {
        try
        {
            return DecryptBlocks(key, iv, text);
        }
        catch (DllNotFoundException)
        {
            return Outcome<byte[]>.Fail("Could not load " + GnuTls.Name);
        }
    }

    private static Outcome<byte[]> DecryptBlocks(byte[] key, byte[] iv, byte[] text)
    {
        byte[] plain = [.. text];
        nint handle;
        int error;
        fixed (byte* keyStart = key, ivStart = iv, plainStart = plain)
        {
            var keyDatum = new GnuTlsDatum { Data = keyStart, Size = (uint)key.Length };
            var ivDatum = new GnuTlsDatum { Data = ivStart, Size = (uint)iv.Length };
            error = GnuTls.CipherInit(&handle, GnuTls.GNUTLS_CIPHER_AES_256_CBC, &keyDatum, &ivDatum);
            if (error == 0)
            {
                error = GnuTls.CipherDecrypt(handle, plainStart, (nuint)plain.Length);
                GnuTls.CipherDeinit(handle);
            }
        }

        return error == 0
            ? Outcome<byte[]>.Ok(plain)
            : Outcome<byte[]>.Fail("Could not decrypt a secret: " + GnuTls.Strerror(error));
    }
}
