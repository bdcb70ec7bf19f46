/** The part of net-snmp that sends notifications; the package brings no types. */
declare module 'net-snmp' {
  export interface Varbind {
    readonly oid: string;
    readonly type: number;
    readonly value: string | number;
  }

  export interface User {
    readonly name: string;
    readonly level: number;
    readonly authProtocol?: number;
    readonly authKey?: string;
    readonly privProtocol?: number;
    readonly privKey?: string;
  }

  export interface TrapRequest {
    readonly message: {
      /** Version 3 only. */
      readonly msgSecurityParameters?: { msgAuthoritativeEngineBoots: number; msgAuthoritativeEngineTime: number };
    };
  }

  export interface Session {
    send(request: TrapRequest, noWait: boolean): Session;
    trap(
      oid: string,
      varbinds: readonly Varbind[],
      options: { readonly upTime?: number },
      done: (error: Error | null) => void,
    ): Session;
    close(): Session;
    on(event: 'error', listener: (error: Error) => void): Session;
  }

  interface SessionOptions {
    readonly version: number;
    readonly trapPort: number;
    readonly transport: 'udp4' | 'udp6';
    readonly engineID?: string;
  }

  const snmp: {
    readonly Version2c: number;
    readonly Version3: number;
    readonly SecurityLevel: { readonly noAuthNoPriv: number; readonly authNoPriv: number; readonly authPriv: number };
    readonly AuthProtocols: Readonly<Record<string, number>>;
    readonly PrivProtocols: Readonly<Record<string, number>>;
    readonly ObjectType: { readonly Integer: number; readonly OctetString: number; readonly Gauge: number };
    createSession(target: string, community: string, options: SessionOptions): Session;
    createV3Session(target: string, user: User, options: SessionOptions): Session;
  };
  export default snmp;
}
