/// What qemu-storage-daemon 10.0.2 printed. Errors that come from opening a device are left out: such a text counts
/// as accepted here.
module StorageDaemon.Tests.Golden.OptionTexts

/// Values of --blockdev; the error, or None where the syntax was accepted.
let keyVal: (string * string option) list = [
    "", None
    ",", Some "Invalid parameter ''"
    ",,", Some "Invalid parameter ''"
    "=", Some "Invalid parameter ''"
    "=x", Some "Invalid parameter ''"
    "a", None
    "a=b,", None
    "a=b,,c", None
    ",a=b", Some "Invalid parameter ''"
    "null-co,read-zeroes", Some "Expected '=' after parameter 'read-zeroes'"
    "null-co,,a=x", Some "Invalid parameter ''"
    "null-co,a=x,,,driver=raw", None
    "null-co,a.=1", Some "Invalid parameter 'a.'"
    "null-co,.a=1", Some "Invalid parameter '.a'"
    "null-co,a..b=1", Some "Invalid parameter 'a..b'"
    "null-co,a.b.=1", Some "Invalid parameter 'a.b.'"
    "null-co,1=1", Some "Invalid parameter '1'"
    "null-co,1a=1", Some "Invalid parameter '1a'"
    "null-co,a.1a=1", Some "Invalid parameter 'a.1a'"
    "null-co,a_b=1", None
    "null-co,-a=1", Some "Invalid parameter '-a'"
    "null-co,_a=1", Some "Invalid parameter '_a'"
    "null-co,a.-=1", Some "Invalid parameter 'a.-'"
    "null-co,a!=1", Some "Invalid parameter 'a!'"
    "null-co,a b=1", Some "Invalid parameter 'a b'"
    "null-co,__com.foo_x=1", None
    "null-co,__com=1", Some "Invalid parameter '__com'"
    "null-co,__com.foo-bar_x-y=1", None
    "null-co,__com_=1", Some "Invalid parameter '__com_'"
    "null-co,__com_1=1", Some "Invalid parameter '__com_1'"
    "null-co,__c_om_x=1", None
    "null-co,___x=1", None
    "null-co,a.__com.foo_x.1=1", Some "Parameter 'a.__com.foo_x.0' missing"
    "null-co,a.0=1,a.2=2", Some "Parameter 'a.1' missing"
    "null-co,a.0=1,a.x=2", Some "Parameters 'a.*' used inconsistently"
    "null-co,a.x=2,a.0=1", Some "Parameters 'a.*' used inconsistently"
    "null-co,a.0=1,a.1=2,a.0=3", None
    "null-co,a=1,a.b=2", Some "Parameters 'a.*' used inconsistently"
    "null-co,a.b=2,a=1", Some "Parameters 'a.*' used inconsistently"
    "null-co,a.b.c=2,a.b=1", Some "Parameters 'a.b.*' used inconsistently"
    "null-co,a.b=1,a.b.c=2", Some "Parameters 'a.b.*' used inconsistently"
    "null-co,a.00=1", None
    "null-co,a.01=1", Some "Parameter 'a.0' missing"
    "null-co,a.0=1,a.00=2", None
    "null-co,a.2147483648=1", Some "Parameter 'a.0' missing"
    "null-co,a.18446744073709551616=1", Some "Parameter 'a.0' missing"
    "null-co,a.1=1", Some "Parameter 'a.0' missing"
    "null-co,a.0.b=1,a.0.c=2", None
    "null-co,a.0.0=1", None
    "null-co,a.0.1=1", Some "Parameter 'a.0.0' missing"
    "null-co,a.00.1=1", Some "Parameter 'a.00.0' missing"
    "null-co,a.b.c.1=1", Some "Parameter 'a.b.c.0' missing"
    "null-co,a.0.x.2=1", Some "Parameter 'a.0.x.0' missing"
    "null-co,a.b.1=1,a.b.d=1", Some "Parameters 'a.b.*' used inconsistently"
    "null-co,a.0=1,a.x.1=1", Some "Parameter 'a.x.0' missing"
    "null-co,a.1.1=x", Some "Parameter 'a.1.0' missing"
    "null-co,a.+0=1", Some "Invalid parameter 'a.+0'"
    "null-co,=1", Some "Invalid parameter ''"
    "null-co,a.0x1=1", Some "Invalid parameter 'a.0x1'"
    "null-co,driver=raw", None
    "driver=null-co,raw", Some "Expected '=' after parameter 'raw'"
    "driver.x=1", None
    "null-co,driver.x=1", Some "Parameters 'driver.*' used inconsistently"
    "1=2", Some "Invalid parameter '1'"
    "1", None
    "null-co,helpx", Some "Expected '=' after parameter 'helpx'"
    "help.x", None
    "help.x=1", None
    "?=1", Some "Invalid parameter '?'"
    "null-co,help=1", None
    "null-co,bad,help", Some "Expected '=' after parameter 'bad'"
    "help,bad", Some "Expected '=' after parameter 'bad'"
    "help,1x=1", Some "Invalid parameter '1x'"
    "help,,", Some "Invalid parameter ''"
    "helphelp", None
    ",help", Some "Invalid parameter ''"
    "null-co,é=1", Some "Invalid parameter 'é'"
    "null-co,a,,b=1", Some "Expected '=' after parameter 'a'"
    "null-co,a=b=c", None
    "null-co,driver", Some "Expected '=' after parameter 'driver'"
    "null-co,a.b", Some "Expected '=' after parameter 'a.b'"
    "null-co,a.", Some "Invalid parameter 'a.'"
    "null-co,0.a=1", Some "Invalid parameter '0.a'"
    "null-co,a=1,a.b.-=1", Some "Parameters 'a.*' used inconsistently"
    "null-co,a=1,a.-=1", Some "Invalid parameter 'a.-'"
    "null-co,a=1,a.b", Some "Parameters 'a.*' used inconsistently"
    "null-co,kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk=1",
    None
    "null-co,kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk=1",
    Some
        "Parameter 'kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk' is too long"
    "null-co,a.kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk=1",
    Some
        "Parameter fragment 'kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk' is too long"
    "null-co,kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk.b=1",
    Some
        "Parameter fragment 'kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk' is too long"
    "null-co,kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk!=1",
    Some
        "Invalid parameter 'kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk!'"
    "null-co,kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk",
    Some
        "Parameter 'kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk' is too long"
    "null-co,kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk",
    Some
        "Expected '=' after parameter 'kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk'"
    "null-co,kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk.=1",
    Some
        "Parameter fragment 'kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk' is too long"
    "null-co,a.kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk.-",
    Some
        "Parameter fragment 'kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk' is too long"
    "null-co,a.00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000=1",
    Some
        "Parameter fragment '00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000' is too long"
    "help", Some "Help is not available for this option"
    "?", Some "Help is not available for this option"
    "help,", Some "Help is not available for this option"
    "help,x=y", Some "Help is not available for this option"
    "null-co,help", Some "Help is not available for this option"
    "null-co,?", Some "Help is not available for this option"
    "x=1,help", Some "Help is not available for this option"
    "null-co,a.1=1,help", Some "Help is not available for this option"
    "null-co,a.1=1,a.x=1,help", Some "Help is not available for this option"
]

/// Values of --chardev; the warnings, each perhaps with a second line, and the error.
let chardev: (string * string list * string option) list = [
    "", [], Some "chardev: no id specified"
    ",", [], Some "chardev: no id specified"
    "=,id=c", [], Some "Invalid parameter ''"
    "null", [], Some "chardev: no id specified"
    "id=c", [], Some "chardev: \"c\" missing backend"
    "null,id=c", [], None
    "backend=null,id=c", [], None
    "null,id=c,backend=foo", [], Some "'foo' is not a valid char driver name"
    "foo", [], Some "chardev: no id specified"
    "foo,id=c", [], Some "'foo' is not a valid char driver name"
    "Null,id=c", [], Some "'Null' is not a valid char driver name"
    ",id=c", [], Some "'' is not a valid char driver name"
    ",,id=c,id=d", [], Some "',id=c' is not a valid char driver name"
    "id", [], Some "'id' is not a valid char driver name"
    "noid", [], Some "'noid' is not a valid char driver name"
    "id,id=c", [], Some "'id' is not a valid char driver name"
    "noid,x=1", [], Some "Invalid parameter 'x'"
    "null,,id=c", [], Some "'null,id=c' is not a valid char driver name"
    "null,,,id=c", [], Some "'null,' is not a valid char driver name"
    "null,id=",
    [],
    Some
        "Parameter 'id' expects an identifier\nIdentifiers consist of letters, digits, '-', '.', '_', starting with a letter."
    "null,id=1c",
    [],
    Some
        "Parameter 'id' expects an identifier\nIdentifiers consist of letters, digits, '-', '.', '_', starting with a letter."
    "null,id=a b",
    [],
    Some
        "Parameter 'id' expects an identifier\nIdentifiers consist of letters, digits, '-', '.', '_', starting with a letter."
    "null,id", [ "short-form boolean option 'id' deprecated\nPlease use id=on instead" ], None
    "null,noid", [ "short-form boolean option 'noid' deprecated\nPlease use id=off instead" ], None
    "null,id=c,id=d", [], None
    "null,id=c,id=1", [], None
    "null,id=1,id=c",
    [],
    Some
        "Parameter 'id' expects an identifier\nIdentifiers consist of letters, digits, '-', '.', '_', starting with a letter."
    "null,id=c,id", [ "short-form boolean option 'id' deprecated\nPlease use id=on instead" ], None
    "id=c,id=d,null",
    [ "short-form boolean option 'null' deprecated\nPlease use null=on instead" ],
    Some "Invalid parameter 'null'"
    "null,path=x,,id=1,id=c", [], None
    "null,id=c,foo=1", [], Some "Invalid parameter 'foo'"
    "null,foo=1", [], Some "Invalid parameter 'foo'"
    "foo,bar=1", [], Some "Invalid parameter 'bar'"
    "null,id=c,foo",
    [ "short-form boolean option 'foo' deprecated\nPlease use foo=on instead" ],
    Some "Invalid parameter 'foo'"
    "null,id=c,nofoo",
    [ "short-form boolean option 'nofoo' deprecated\nPlease use foo=off instead" ],
    Some "Invalid parameter 'foo'"
    "null,id=c,nomux", [ "short-form boolean option 'nomux' deprecated\nPlease use mux=off instead" ], None
    "null,id=c,mux", [ "short-form boolean option 'mux' deprecated\nPlease use mux=on instead" ], None
    "null,id=c,mux=", [], Some "Parameter 'mux' expects 'on' or 'off'"
    "null,id=c,mux=yes", [], None
    "null,id=c,mux=On", [], Some "Parameter 'mux' expects 'on' or 'off'"
    "null,id=c,size=4x",
    [],
    Some
        "Parameter 'size' expects a non-negative number below 2^64\nOptional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively."
    "null,id=c,size=4k", [], None
    "null,id=c,size=",
    [],
    Some
        "Parameter 'size' expects a non-negative number below 2^64\nOptional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively."
    "null,id=c,size",
    [ "short-form boolean option 'size' deprecated\nPlease use size=on instead" ],
    Some
        "Parameter 'size' expects a non-negative number below 2^64\nOptional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively."
    "null,id=c,size=-1", [], Some "Value '-1' is out of range for parameter 'size'"
    "null,id=c,size=-1k",
    [],
    Some
        "Parameter 'size' expects a non-negative number below 2^64\nOptional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively."
    "null,id=c,size=-0", [], Some "Value '-0' is out of range for parameter 'size'"
    "null,id=c,size=1.5",
    [],
    Some
        "Parameter 'size' expects a non-negative number below 2^64\nOptional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively."
    "null,id=c,size=1e3",
    [],
    Some
        "Parameter 'size' expects a non-negative number below 2^64\nOptional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively."
    "null,id=c,size=16E", [], Some "Value '16E' is out of range for parameter 'size'"
    "null,id=c,size=16Ex",
    [],
    Some
        "Parameter 'size' expects a non-negative number below 2^64\nOptional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively."
    "null,id=c,size=99999999999999999999", [], Some "Value '99999999999999999999' is out of range for parameter 'size'"
    "null,id=c,size=0x10", [], None
    "null,id=c,size=0x10k",
    [],
    Some
        "Parameter 'size' expects a non-negative number below 2^64\nOptional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively."
    "null,id=c,size=0x80000000000000000", [], Some "Value '0x80000000000000000' is out of range for parameter 'size'"
    "null,id=c,width=1k", [], Some "Parameter 'width' expects a number"
    "null,id=c,width=-1", [], None
    "null,id=c,width=", [], Some "Parameter 'width' expects a number"
    "null,id=c,width=08", [], Some "Parameter 'width' expects a number"
    "null,id=c,width=0x", [], Some "Parameter 'width' expects a number"
    "null,id=c,width=99999999999999999999", [], Some "Value '99999999999999999999' is too large for parameter 'width'"
    "null,id=c,width=-18446744073709551616", [], Some "Value '-18446744073709551616' is too large for parameter 'width'"
    "null,id=c,width=1.5", [], Some "Parameter 'width' expects a number"
    "null,id=c,nodelay",
    [
        "short-form boolean option 'nodelay' deprecated\nPlease use nodelay=on instead"
    ],
    None
    "null,id=c,delay",
    [
        "short-form boolean option 'delay' deprecated\nPlease use nodelay=off instead"
    ],
    None
    "null,id=c,nonodelay",
    [
        "short-form boolean option 'nonodelay' deprecated\nPlease use nodelay=off instead"
    ],
    None
    "null,id=c,no",
    [ "short-form boolean option 'no' deprecated\nPlease use =off instead" ],
    Some "Invalid parameter ''"
    "null,id=c,no=1", [], Some "Invalid parameter 'no'"
    "null,id=c,=1", [], Some "Invalid parameter ''"
    "null,id=c,", [], None
    "null,id=c,,",
    [],
    Some
        "Parameter 'id' expects an identifier\nIdentifiers consist of letters, digits, '-', '.', '_', starting with a letter."
    "null,id=c, mux=on", [], Some "Invalid parameter ' mux'"
    "path=x,null,id=c",
    [ "short-form boolean option 'null' deprecated\nPlease use null=on instead" ],
    Some "Invalid parameter 'null'"
    "null,id=c,mux,,path=x",
    [
        "short-form boolean option 'mux' deprecated\nPlease use mux=on instead"
        "short-form boolean option '' deprecated\nPlease use =on instead"
    ],
    Some "Invalid parameter ''"
    "null,nohelp",
    [ "short-form boolean option 'nohelp' deprecated\nPlease use help=off instead" ],
    Some "Invalid parameter 'help'"
    "nohelp", [], Some "chardev: no id specified"
    "null,no?", [ "short-form boolean option 'no?' deprecated\nPlease use ?=off instead" ], Some "Invalid parameter '?'"
    "null,help=on", [], Some "Invalid parameter 'help'"
    "help=on", [], Some "Invalid parameter 'help'"
    "help,x=1", [], Some "Invalid parameter 'x'"
    "help,mux=bad", [], Some "Parameter 'mux' expects 'on' or 'off'"
    "help,id=1",
    [],
    Some
        "Parameter 'id' expects an identifier\nIdentifiers consist of letters, digits, '-', '.', '_', starting with a letter."
    "null,help,id=1",
    [],
    Some
        "Parameter 'id' expects an identifier\nIdentifiers consist of letters, digits, '-', '.', '_', starting with a letter."
    "null,foo=1,help", [], Some "Invalid parameter 'foo'"
    "null,mux=bad,help", [], Some "Parameter 'mux' expects 'on' or 'off'"
    "null,foo=1,id=1",
    [],
    Some
        "Parameter 'id' expects an identifier\nIdentifiers consist of letters, digits, '-', '.', '_', starting with a letter."
    "null,foo=1,mux=bad", [], Some "Invalid parameter 'foo'"
    "null,mux=bad,foo=1", [], Some "Parameter 'mux' expects 'on' or 'off'"
    "null,mux=bad,id=1",
    [],
    Some
        "Parameter 'id' expects an identifier\nIdentifiers consist of letters, digits, '-', '.', '_', starting with a letter."
    "null,id=c,backend",
    [
        "short-form boolean option 'backend' deprecated\nPlease use backend=on instead"
    ],
    Some "'on' is not a valid char driver name"
    "backend,id=c", [], Some "'backend' is not a valid char driver name"
    "null,id=help", [], None
    "path=help", [], Some "chardev: no id specified"
    "file,id=c", [], Some "chardev: file: no filename given"
    "file,id=c,input-path=x", [], Some "chardev: file: no filename given"
    "file,id=c,append=maybe", [], Some "Parameter 'append' expects 'on' or 'off'"
    "file,id=c,logfile=/nonexist/x", [], Some "chardev: file: no filename given"
    "stdio,id=c,signal=maybe", [], Some "Parameter 'signal' expects 'on' or 'off'"
    "vc,id=c", [], Some "'vc' is not a valid char driver name"
    "spicevmc,id=c", [], Some "'spicevmc' is not a valid char driver name"
    "socket,host=x", [], Some "chardev: no id specified"
    "socket,id=c,path=x,host=x", [], Some "None or one of 'path', 'fd' or 'host' option required."
    "socket,id=c,path=x,fd=1", [], Some "None or one of 'path', 'fd' or 'host' option required."
    "socket,id=c,host=a,path=b,fd=c", [], Some "None or one of 'path', 'fd' or 'host' option required."
    "socket,id=c,host=x", [], Some "chardev: socket: no port given"
    "socket,id=c,host=x,delay=on,nodelay=on", [], Some "chardev: socket: no port given"
    "socket,id=c,path=a,fd=b,delay=on,nodelay=on", [], Some "None or one of 'path', 'fd' or 'host' option required."
    "socket,id=c,path=a,delay=on,nodelay=on", [], Some "'delay' and 'nodelay' are mutually exclusive"
    "socket,id=c,path=x,delay,nodelay=on",
    [
        "short-form boolean option 'delay' deprecated\nPlease use nodelay=off instead"
    ],
    Some "'delay' and 'nodelay' are mutually exclusive"
    "socket,id=c,path=x,nodelay,nodelay=on",
    [
        "short-form boolean option 'nodelay' deprecated\nPlease use nodelay=on instead"
    ],
    Some "'delay' and 'nodelay' are mutually exclusive"
    "socket,id=c,path=x,delay,nodelay",
    [
        "short-form boolean option 'delay' deprecated\nPlease use nodelay=off instead"
        "short-form boolean option 'nodelay' deprecated\nPlease use nodelay=on instead"
    ],
    None
    "socket,id=c,cid=1", [], Some "Invalid parameter 'cid'"
    "socket,id=c,path=x,wait=on", [], Some "'wait' option is incompatible with socket in client connect mode"
    "socket,id=c,path=x,server=off,wait=on", [], Some "'wait' option is incompatible with socket in client connect mode"
    "socket,id=c,path=x,server=bad,wait=bad", [], Some "Parameter 'server' expects 'on' or 'off'"
    "socket,id=c,path=x,wait=bad,server=bad", [], Some "Parameter 'wait' expects 'on' or 'off'"
    "socket,id=c,path=x,reconnect=1,reconnect-ms=1", [], Some "'reconnect' and 'reconnect-ms' are mutually exclusive"
    "socket,id=c,path=x,reconnect=0,reconnect-ms=0", [], Some "'reconnect' and 'reconnect-ms' are mutually exclusive"
    "socket,id=c,server=on,wait=off,path=x,reconnect=0",
    [],
    Some "'reconnect' option is incompatible with socket in server listen mode"
    "socket,id=c,reconnect=1", [], Some "'reconnect' option is incompatible with 'fd' address type"
    "socket,id=c,reconnect=1,wait=on", [], Some "'reconnect' option is incompatible with 'fd' address type"
    "socket,id=c,reconnect=1,websocket=on", [], Some "'reconnect' option is incompatible with 'fd' address type"
    "socket,id=c,reconnect=1,tls-authz=y", [], Some "'reconnect' option is incompatible with 'fd' address type"
    "socket,id=c,fd=1,reconnect=0", [], Some "'reconnect' option is incompatible with 'fd' address type"
    "socket,id=c,path=x,reconnect=1,reconnect-ms=1,wait=on",
    [],
    Some "'wait' option is incompatible with socket in client connect mode"
    "socket,id=c,path=x,reconnect=1,reconnect-ms=1,server=on",
    [],
    Some "'reconnect' option is incompatible with socket in server listen mode"
    "socket,id=c,path=x,tls-authz=y,wait=on", [], Some "'tls_authz' option requires 'tls_creds' option"
    "socket,id=c,path=x,tls-authz=y,websocket=on", [], Some "'tls_authz' option requires 'tls_creds' option"
    "socket,id=c,path=x,wait=on,websocket=on", [], Some "Websocket client is not implemented"
    "socket,id=c,path=x,websocket=on", [], Some "Websocket client is not implemented"
    "socket,id=c,path=x,server,nowait",
    [
        "short-form boolean option 'server' deprecated\nPlease use server=on instead"
        "short-form boolean option 'nowait' deprecated\nPlease use wait=off instead"
    ],
    None
    "socket,id=c,wait=off", [], Some "'wait' option is incompatible with socket in client connect mode"
]

/// Values of --trace; the warnings (also about unknown events) and the error.
let trace: (string * string list * string option) list = [
    "", [], None
    ",", [ "trace event '' does not exist" ], None
    "foo=1", [], Some "Invalid parameter 'foo'"
    "nope,nope2",
    [ "short-form boolean option 'nope2' deprecated\nPlease use pe2=off instead" ],
    Some "Invalid parameter 'pe2'"
    "nope,foo",
    [ "short-form boolean option 'foo' deprecated\nPlease use foo=on instead" ],
    Some "Invalid parameter 'foo'"
    "nope,events",
    [
        "short-form boolean option 'events' deprecated\nPlease use events=on instead"
        "trace event 'nope' does not exist"
    ],
    None
    "enable=nope,,x", [ "trace event 'nope,x' does not exist" ], None
    "nope,id=1",
    [],
    Some
        "Parameter 'id' expects an identifier\nIdentifiers consist of letters, digits, '-', '.', '_', starting with a letter."
    "nope,nofoo",
    [ "short-form boolean option 'nofoo' deprecated\nPlease use foo=off instead" ],
    Some "Invalid parameter 'foo'"
    "help,x=1", [], Some "Invalid parameter 'x'"
    "help,id=1",
    [],
    Some
        "Parameter 'id' expects an identifier\nIdentifiers consist of letters, digits, '-', '.', '_', starting with a letter."
    "file=,nope",
    [ "short-form boolean option 'nope' deprecated\nPlease use pe=off instead" ],
    Some "Invalid parameter 'pe'"
    "a,nodelay",
    [
        "short-form boolean option 'nodelay' deprecated\nPlease use nodelay=on instead"
    ],
    Some "Invalid parameter 'delay'"
    "a,delay",
    [
        "short-form boolean option 'delay' deprecated\nPlease use nodelay=off instead"
    ],
    Some "Invalid parameter 'delay'"
    ",nope", [ "short-form boolean option 'nope' deprecated\nPlease use pe=off instead" ], Some "Invalid parameter 'pe'"
    "nope", [ "trace event 'nope' does not exist" ], None
    "*nope", [], None
    "-nope", [ "trace event 'nope' does not exist" ], None
    "-", [ "trace event '' does not exist" ], None
    "-?", [ "trace event '?' does not exist" ], None
    "?zz", [ "trace event '?zz' does not exist" ], None
    "#x", [ "trace event '#x' does not exist" ], None
    "noenable", [ "trace event 'noenable' does not exist" ], None
    "nope,enable",
    [
        "short-form boolean option 'enable' deprecated\nPlease use enable=on instead"
        "trace event 'on' does not exist"
    ],
    None
    "[a", [ "trace event '[a' does not exist" ], None
    "JOB_state_transition", [ "trace event 'JOB_state_transition' does not exist" ], None
]

/// Command lines that end before any option takes effect: all of standard error, or HELP or VERSION.
let firstPass: (string * string) list = [
    "--blockdev", "qemu-storage-daemon: option '--blockdev' requires an argument\n"
    "-h --foo", "HELP"
    "--foo -h", "qemu-storage-daemon: unrecognized option '--foo'\n"
    "-V -h", "VERSION"
    "-h -V", "HELP"
    "foo -h", "HELP"
    "--monitor nope --foo", "qemu-storage-daemon: unrecognized option '--foo'\n"
    "--monitor nope -h", "HELP"
    "--help=x", "qemu-storage-daemon: option '--help' doesn't allow an argument\n"
    "--daemonize=x", "qemu-storage-daemon: option '--daemonize' doesn't allow an argument\n"
    "--version=", "qemu-storage-daemon: option '--version' doesn't allow an argument\n"
    "--h", "HELP"
    "--e", "qemu-storage-daemon: option '--export' requires an argument\n"
    "--p", "qemu-storage-daemon: option '--pidfile' requires an argument\n"
    "--n", "qemu-storage-daemon: option '--nbd-server' requires an argument\n"
    "--o", "qemu-storage-daemon: option '--object' requires an argument\n"
    "--t", "qemu-storage-daemon: option '--trace' requires an argument\n"
    "--v", "VERSION"
    "-T", "qemu-storage-daemon: option requires an argument -- 'T'\n"
    "-hV", "HELP"
    "-zh", "qemu-storage-daemon: invalid option -- 'z'\n"
    "-hz", "HELP"
    "-Vh", "VERSION"
    "- -h", "HELP"
    "--=x",
    "qemu-storage-daemon: option '--=x' is ambiguous; possibilities: '--blockdev' '--chardev' '--daemonize' '--export' '--help' '--monitor' '--nbd-server' '--object' '--pidfile' '--trace' '--version'\n"
    "--fo=x", "qemu-storage-daemon: unrecognized option '--fo=x'\n"
    "-W foo", "qemu-storage-daemon: invalid option -- 'W'\n"
    "-:", "qemu-storage-daemon: invalid option -- ':'\n"
    "-?", "qemu-storage-daemon: invalid option -- '?'\n"
    "-monitor x", "qemu-storage-daemon: invalid option -- 'm'\n"
    "--monitor nope --pidfile", "qemu-storage-daemon: option '--pidfile' requires an argument\n"
    "--monitor nope --d=1", "qemu-storage-daemon: option '--daemonize' doesn't allow an argument\n"
    "--monitor nope -z -h", "qemu-storage-daemon: invalid option -- 'z'\n"
    "--daemonize -h", "HELP"
    "--daemonize=1 -h", "qemu-storage-daemon: option '--daemonize' doesn't allow an argument\n"
    "-h --daemonize=1", "HELP"
    "-h --", "HELP"
    "--foo --bar", "qemu-storage-daemon: unrecognized option '--foo'\n"
    "-T help --foo", "qemu-storage-daemon: unrecognized option '--foo'\n"
    "--é", "qemu-storage-daemon: unrecognized option '--é'\n"
]

/// Command lines of which a step fails: what stands before the first message.
let locations: (string * string) list = [
    "foo bar", "foo"
    "--monitor nope foo", "--monitor nope"
    "foo --monitor nope", "foo"
    "--m nope", "--m nope"
    "--mon=nope", "--mon=nope"
    "-", "-"
    "--pidfile a --monitor nope", "--monitor nope"
    "-Tx=1 foo", "-Tx=1"
    "-T x=1", "-T x=1"
    "--trace=x=1", "--trace=x=1"
    "-T=nope", "-T=nope"
]

let chardevOptions =
    String.concat "\n" [
        "chardev options:"
        "  abstract=<bool (on/off)>"
        "  append=<bool (on/off)>"
        "  backend=<str>"
        "  chardev=<str>"
        "  chardevs.0=<str>"
        "  chardevs.1=<str>"
        "  chardevs.2=<str>"
        "  chardevs.3=<str>"
        "  clipboard=<bool (on/off)>"
        "  cols=<num>"
        "  debug=<num>"
        "  delay=<bool (on/off)>"
        "  fd=<str>"
        "  height=<num>"
        "  host=<str>"
        "  input-path=<str>"
        "  ipv4=<bool (on/off)>"
        "  ipv6=<bool (on/off)>"
        "  localaddr=<str>"
        "  localport=<str>"
        "  logappend=<bool (on/off)>"
        "  logfile=<str>"
        "  mouse=<bool (on/off)>"
        "  mux=<bool (on/off)>"
        "  name=<str>"
        "  nodelay=<bool (on/off)>"
        "  path=<str>"
        "  port=<str>"
        "  reconnect-ms=<num>"
        "  reconnect=<num>"
        "  rows=<num>"
        "  server=<bool (on/off)>"
        "  signal=<bool (on/off)>"
        "  size=<size>"
        "  telnet=<bool (on/off)>"
        "  tight=<bool (on/off)>"
        "  tls-authz=<str>"
        "  tls-creds=<str>"
        "  tn3270=<bool (on/off)>"
        "  to=<num>"
        "  wait=<bool (on/off)>"
        "  websocket=<bool (on/off)>"
        "  width=<num>"
        ""
    ]

let traceOptions = "trace options:\n  enable=<str>\n  events=<str>\n  file=<str>\n"
