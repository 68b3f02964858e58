package qupath.lib.images.servers

import java.awt.image.BufferedImage

import groovy.transform.CompileStatic
import qupath.lib.color.ColorModelFactory
import qupath.lib.regions.RegionRequest

/**
 * An image that is read tile by tile: those that a region touches are asked for and laid together.
 *
 * The tiles lie side by side from the image's corner, each of the preferred size unless the image ends before. One that
 * was read is kept; one that failed fails for whoever asks again. What lies outside of the image is zero.
 */
@CompileStatic
abstract class AbstractTileableImageServer implements ImageServer<BufferedImage> {
    private final Map<TileRequest, Object> tiles = [:]
    private String path

    protected abstract BufferedImage readTile(TileRequest tileRequest) throws IOException

    protected abstract ImageServerBuilder.ServerBuilder<BufferedImage> createServerBuilder()

    protected abstract String createID()

    @Override
    String getPath() {
        return path = path ?: createID()
    }

    @Override
    ImageServerMetadata getMetadata() {
        return getOriginalMetadata()
    }

    @Override
    int getWidth() {
        return getMetadata().width
    }

    @Override
    int getHeight() {
        return getMetadata().height
    }

    @Override
    boolean isRGB() {
        return getMetadata().rgb
    }

    @Override
    BufferedImage readRegion(RegionRequest request) throws IOException {
        assert request.path == getPath() && request.downsample == 1.0d
        ImageServerMetadata metadata = getMetadata()
        int tileWidth = metadata.preferredTileWidth, tileHeight = metadata.preferredTileHeight
        BufferedImage whole = create(request.width, request.height)
        for (int y = Math.max(request.y, 0).intdiv(tileHeight) * tileHeight; y < Math.min(request.y + request.height, height); y += tileHeight)
            for (int x = Math.max(request.x, 0).intdiv(tileWidth) * tileWidth; x < Math.min(request.x + request.width, width); x += tileWidth) {
                int right = Math.min(x + tileWidth, width), bottom = Math.min(y + tileHeight, height)
                BufferedImage tile = getTile(new TileRequest(x, y, right - x, bottom - y, request.z, request.t))
                whole.getRaster().setRect(x - request.x, y - request.y, tile.getRaster())
            }
        return whole
    }

    private BufferedImage create(int width, int height) {
        if (isRGB())
            return new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB)
        def colours = ColorModelFactory.createColorModel(getMetadata().pixelType, getMetadata().channels)
        return new BufferedImage(colours, colours.createCompatibleWritableRaster(width, height), false, null)
    }

    private BufferedImage getTile(TileRequest tile) {
        Object lock = null
        synchronized (tiles) {
            lock = tiles.computeIfAbsent(tile, { new Object[1] })
        }
        Object[] slot = (Object[]) lock
        synchronized (slot) {
            if (slot[0] == null)
                try {
                    slot[0] = readTile(tile)
                } catch (IOException error) {
                    slot[0] = error
                }
            if (slot[0] instanceof IOException)
                throw (IOException) slot[0]
            return (BufferedImage) slot[0]
        }
    }
}
