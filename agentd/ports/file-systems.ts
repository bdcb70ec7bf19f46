/** File systems as the kernel knows them. */
export interface FileSystems {
  /** One text for each, whatever subvolume or bind mount a directory is reached through. @throws NativeError */
  of(directory: string): string;
  /** @returns false when it was not frozen. @throws NativeError */
  thaw(directory: string): boolean;
}
